"""What follows from a provider's events, on both databases, in whatever order they come."""

from datetime import timedelta
from itertools import count

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from campaigns.ledger.assigning import assign_arms
from campaigns.ledger.claims import claim
from campaigns.ledger.codes import add_codes
from campaigns.ledger.feedback import UNDELIVERED, Feedback, hear, rates
from campaigns.ledger.holdings import holding
from campaigns.ledger.ledger import wake
from campaigns.ledger.plans import UNLIMITED
from campaigns.ledger.purses import discount_purse
from campaigns.ledger.redemptions import Use, redeem, reverse
from campaigns.ledger.settling import Ends, give_back, settle
from campaigns.verify import verify
from tests.campaigns.kit import NOW, WEEK, a_claim, consenting, live_plan, open_test_ledger

KINDS = ["delivered", "bounced", "complained", "unregistered", "unsubscribed", "failed"]
MINUTE = timedelta(minutes=1)
TAKEN = {"campaign:24": 1, "coupon:c1": 1, "share:'24'/'c1'": 1, "budget:24": 50,
         "discount:24": 70}  # fmt: skip


@pytest.fixture
def plan(ledger):
    return a_plan(ledger)


def a_plan(ledger):
    return live_plan(ledger, limits={discount_purse("24"): UNLIMITED}, rows=1_000)


def call(ledger, plan, member="ann", **facts):
    who = consenting(ledger, member)
    one = a_claim(plan, who, reserve=70, **facts)
    (answer,) = claim(ledger, [one], now=NOW, until=NOW + MINUTE)
    return who, answer


def say(ledger, answer, *kinds, at=NOW, **facts):
    key = facts.get("send_id", answer.send_id)
    events = [Feedback(f"{key}-{kind}", key, kind, at) for kind in kinds]
    return hear(ledger, "mail", events, now=NOW)


def used(ledger):
    with ledger.reading() as connection:
        rows = connection.execute(text("SELECT purse, used FROM purse WHERE used > 0"))
        return {row.purse: row.used for row in rows}


def suppressed(ledger, who):
    with ledger.reading() as connection:
        keys = set(connection.execute(text("SELECT key FROM suppression")).scalars())
    return [one in keys for one in who]


def row_of(ledger, answer):
    with ledger.reading() as connection:
        sent = connection.execute(
            text("SELECT state, released, pseq, cseq FROM send WHERE send_id = :key"
                 " ORDER BY try DESC"), {"key": answer.send_id},
        ).first()  # fmt: skip
        said = connection.execute(
            text("SELECT outcome, reason FROM outcome WHERE send_id = :key"),
            {"key": answer.send_id},
        ).first()
    return tuple(sent), None if said is None else tuple(said)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_has_its_consequence_and_the_slot_stays(ledger, plan, kind):
    who, answer = call(ledger, plan)
    settle(ledger, [Ends([answer], "accepted", NOW)])
    assert used(ledger) == TAKEN
    heard = say(ledger, answer, kind)
    assert (heard.new, heard.known, heard.strange) == (1, 0, 0)
    gone = kind in UNDELIVERED
    assert row_of(ledger, answer) == (("accepted", int(gone), 1, 1), ("accepted", "accepted"))
    assert used(ledger) == ({} if gone else TAKEN)
    both = kind in ("complained", "unsubscribed")
    assert suppressed(ledger, who) == [both, both or kind in ("bounced", "unregistered")]
    assert verify(ledger).breaches == ()


def test_what_is_unknown_and_was_delivered_is_accepted(ledger, plan):
    _, answer = call(ledger, plan)
    settle(ledger, [Ends([answer], "unknown", NOW)])
    say(ledger, answer, "delivered")
    assert row_of(ledger, answer) == (("accepted", 0, 1, 1), ("accepted", "accepted"))


def test_the_code_of_a_bounce_goes_back_once_and_to_somebody_else(ledger, plan):
    add_codes(ledger, {"SAVE-1": "c1"}, now=NOW)
    _, first = call(ledger, plan, coded=True)
    settle(ledger, [Ends([first], "accepted", NOW)])
    say(ledger, first, "bounced")
    _, second = call(ledger, plan, "bob", coded=True)
    assert second.code == "SAVE-1"
    settle(ledger, [Ends([second], "accepted", NOW)])
    say(ledger, first, "failed", "unregistered")
    assert used(ledger) == TAKEN
    assert verify(ledger).breaches == ()


def test_a_coupon_that_bounced_is_no_right_any_more(ledger, plan):
    _, answer = call(ledger, plan)
    settle(ledger, [Ends([answer], "accepted", NOW)])
    assert "c1" in holding(ledger, "ann").sent
    say(ledger, answer, "bounced")
    assert "c1" not in holding(ledger, "ann").sent
    use = Use("o-1", "c1", 100, NOW, member_id="ann")
    assert redeem(ledger, use, limit=None, now=NOW).campaign_id is None
    assert verify(ledger).breaches == ()


def test_what_was_redeemed_was_received_whatever_the_provider_says(ledger, plan):
    _, answer = call(ledger, plan)
    settle(ledger, [Ends([answer], "accepted", NOW)])
    redeem(ledger, Use("o-1", "c1", 100, NOW, member_id="ann"), limit=None, now=NOW)
    before = used(ledger)
    say(ledger, answer, "bounced")
    assert used(ledger) == before
    assert verify(ledger).breaches == ()
    reverse(ledger, "o-1", now=NOW)
    assert verify(ledger).breaches == ()


def test_a_bounce_bars_the_week_and_the_address_for_good(ledger, plan):
    who, answer = call(ledger, plan)
    settle(ledger, [Ends([answer], "accepted", NOW)])
    say(ledger, answer, "failed")
    other = live_plan(ledger, "b")
    (soon,) = claim(ledger, [a_claim(other, who)], now=NOW, until=NOW + MINUTE)
    assert soon.reason == "capped"
    say(ledger, answer, "bounced")
    wake(ledger, now=NOW + WEEK, max_idle_days=35)
    (later,) = claim(ledger, [a_claim(other, who)], now=NOW + WEEK, until=NOW + WEEK + MINUTE)
    assert later.reason == "suppressed"


@pytest.mark.parametrize("key", ["", "0" * 32, "x"])
def test_a_message_that_is_none_of_ours_writes_nothing(ledger, plan, key):
    _, answer = call(ledger, plan)
    before = dump(ledger)
    heard = say(ledger, answer, *KINDS, send_id=key)
    assert (heard.new, heard.known, heard.strange) == (0, 0, 6)
    assert dump(ledger) == before


def test_one_held_out_got_no_message_to_speak_of(ledger, plan):
    who = consenting(ledger, "ann")
    assign_arms(ledger, "24", share=0.9999999, people=[who], now=NOW)
    (ghost,) = claim(ledger, [a_claim(plan, who, ghost=True)], now=NOW, until=NOW + MINUTE)
    assert say(ledger, ghost, "bounced").strange == 1


def dump(ledger):
    tables = ("send", "outcome", "feedback", "suppression", "purse", "consent", "code")
    with ledger.reading() as connection:
        return [
            sorted(map(str, connection.execute(text(f"SELECT * FROM {one}")))) for one in tables
        ]


def test_rates_tell_a_breaker_what_each_channel_came_to(ledger, plan):
    for number, kind in enumerate(["delivered", "bounced", "complained", None]):
        _, answer = call(ledger, plan, f"m{number}")
        settle(ledger, [Ends([answer], "accepted", NOW)])
        if kind:
            say(ledger, answer, kind)
            say(ledger, answer, kind, at=NOW + MINUTE)
    found = rates(ledger, since=NOW)["email"]
    assert (found.sent, found.delivered, found.bounced, found.complained) == (4, 1, 1, 1)
    assert rates(ledger, since=NOW + MINUTE) == {}


def test_what_a_sender_gave_back_is_not_given_back_again(ledger, plan):
    _, answer = call(ledger, plan)
    assert give_back(ledger, [answer]) == [answer.send_id]
    say(ledger, answer, "bounced")
    assert used(ledger) == {}
    assert verify(ledger).breaches == ()


def test_a_bounce_before_the_sender_gives_back_is_not_given_back_again(ledger, plan):
    _, answer = call(ledger, plan)
    say(ledger, answer, "bounced")
    assert give_back(ledger, [answer]) == []
    assert used(ledger) == {}
    assert verify(ledger).breaches == ()


STEPS = st.lists(st.sampled_from([*KINDS, "accepted", "unknown"]), min_size=1, max_size=6)


@pytest.mark.slow
def test_early_twice_and_in_any_order_they_end_the_same(ledger_url, tmp_path):
    with open_test_ledger(ledger_url, tmp_path) as ledger:
        plan, numbers = a_plan(ledger), count()

        def end(steps):
            """What the steps come to, for a member of their own."""
            before, (who, answer) = used(ledger), call(ledger, plan, f"m{next(numbers)}")
            for step in steps:
                if step in ("accepted", "unknown"):
                    settle(ledger, [Ends([answer], step, NOW)])
                else:
                    say(ledger, answer, step)
            after = used(ledger)
            sums = {name: after.get(name, 0) - before.get(name, 0) for name in TAKEN}
            return row_of(ledger, answer), suppressed(ledger, who), sums

        @given(steps=STEPS, data=st.data())
        @settings(max_examples=60, deadline=None,
                  suppress_health_check=[HealthCheck.function_scoped_fixture])  # fmt: skip
        def orders(steps, data):
            if set(steps) <= {"accepted", "unknown"}:
                steps = [*steps, "delivered"]
            once = end(steps)
            shuffled = data.draw(st.permutations(steps + steps[:2]))
            assert end(shuffled) == once
            gone = bool(UNDELIVERED & set(steps))
            assert once[2] == (dict.fromkeys(TAKEN, 0) if gone else TAKEN)

        orders()
        assert verify(ledger).breaches == ()
