"""Pushes of other senders in the chains, on both databases."""

from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from campaigns.ledger.calls import Claimed
from campaigns.ledger.carry import Carried, carry
from campaigns.ledger.claims import claim
from campaigns.ledger.ledger import wake
from campaigns.ledger.settling import Ends, give_back, settle
from campaigns.verify import verify
from tests.campaigns.kit import NOW, WEEK, a_claim, consenting, live_plan, open_test_ledger

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)


def take(ledger, one, now=NOW):
    (answer,) = claim(ledger, [one], now=now, until=now + MINUTE)
    return answer


def carried(who, sent_at, **facts):
    return Carried(who[0], who[1], "email", sent_at, **facts)


def test_a_carried_push_holds_the_slot_of_the_person_and_of_the_contact_point(ledger):
    ann, bob = consenting(ledger, "ann"), consenting(ledger, "bob")
    eve = consenting(ledger, "eve", "bob@example.invalid")
    assert carry(ledger, [carried(ann, NOW - DAY), carried(bob, NOW - 2 * DAY)], source="x") == [
        "new", "new",
    ]  # fmt: skip
    plan = live_plan(ledger)
    assert take(ledger, a_claim(plan, ann)).free_at == NOW - DAY + WEEK
    assert take(ledger, a_claim(plan, eve)).free_at == NOW - 2 * DAY + WEEK
    assert verify(ledger).breaches == ()


def test_a_push_of_eight_days_ago_bars_nothing_and_is_the_link_before(ledger):
    ann = consenting(ledger, "ann")
    carry(ledger, [carried(ann, NOW - 8 * DAY)], source="x")
    assert isinstance(take(ledger, a_claim(live_plan(ledger), ann)), Claimed)
    with ledger.reading() as connection:
        places = connection.execute(text("SELECT state, pseq, cseq FROM send ORDER BY pseq")).all()
    assert [tuple(row) for row in places] == [("carry", 1, 1), ("attempting", 2, 2)]


def test_the_same_push_again_adds_nothing(ledger):
    ann = consenting(ledger, "ann")
    assert carry(ledger, [carried(ann, NOW)], source="x") == ["new"]
    assert carry(ledger, [carried(ann, NOW)], source="y") == ["known"]


def test_a_push_before_the_end_of_a_chain_is_kept_and_moves_nothing(ledger):
    ann = consenting(ledger, "ann")
    answer = take(ledger, a_claim(live_plan(ledger, "a"), ann))
    settle(ledger, [Ends([answer], "accepted", NOW)])
    assert carry(ledger, [carried(ann, NOW - 2 * DAY)], source="x") == ["new"]
    assert verify(ledger).breaches == ()  # what the ledger did not know then, it did not break
    wake(ledger, now=NOW + WEEK, max_idle_days=35)
    assert isinstance(take(ledger, a_claim(live_plan(ledger, "b"), ann), NOW + WEEK), Claimed)


def test_a_call_in_flight_can_still_end_as_it_does(ledger):
    ann = consenting(ledger, "ann")
    answer = take(ledger, a_claim(live_plan(ledger, "a"), ann))
    late = carried(ann, NOW + MINUTE)
    assert carry(ledger, [late], source="x") == ["in_flight"]
    assert give_back(ledger, [answer]) == [answer.send_id]
    assert carry(ledger, [late], source="x") == ["new"]


def test_a_message_of_ours_that_the_ledger_forgot_is_not_sent_again(ledger):
    ann = consenting(ledger, "ann")
    plan = live_plan(ledger)
    answer = take(ledger, a_claim(plan, ann))
    give_back(ledger, [answer])
    carry(ledger, [carried(ann, NOW - 30 * DAY, send_id=answer.send_id)], source="log")
    assert take(ledger, a_claim(plan, ann)).reason == "already_sent"


@pytest.mark.slow
@given(
    days=st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("hw"), st.integers(0, 60)),
                  max_size=12),
    cut=st.integers(0, 12),
)  # fmt: skip
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_in_whatever_order_they_come_the_latest_counts(tmp_path_factory, days, cut):
    folder = tmp_path_factory.mktemp("carry")
    with open_test_ledger(f"sqlite:///{folder / 'ledger.db'}", folder) as ledger:
        pushes = [Carried(p, c, "email", NOW - n * DAY) for p, c, n in days]
        carry(ledger, pushes[:cut], source="x")
        carry(ledger, pushes[cut:], source="x")
        with ledger.reading() as connection:
            for place, unit in ((0, "person"), (1, "contact")):
                for who in {one[place] for one in days}:
                    last = connection.execute(
                        text(f"SELECT until FROM send WHERE {unit} = :who AND {unit[0]}seq"
                             f" IS NOT NULL ORDER BY {unit[0]}seq DESC LIMIT 1"), {"who": who},
                    ).scalar()  # fmt: skip
                    latest = min(n for *units, n in days if units[place] == who)
                    assert last == (NOW - latest * DAY).timestamp() * 1_000_000
        assert verify(ledger).breaches == ()
