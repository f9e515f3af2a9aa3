"""Pools of codes: one with each send, back where nothing was delivered, on both databases."""

from datetime import timedelta

import pytest
from sqlalchemy import delete, text, update

from campaigns.ledger import tables
from campaigns.ledger.calls import Claimed, Declined
from campaigns.ledger.claims import claim, reclaim
from campaigns.ledger.codes import Pool, add_codes, all_codes, coded_coupons, pools
from campaigns.ledger.plans import UNLIMITED, left
from campaigns.ledger.settling import Ends, give_back, settle
from campaigns.verify import verify
from tests.campaigns.kit import NOW, a_claim, consenting, live_plan, open_test_ledger

SOON = NOW + timedelta(minutes=1)


def fill(ledger, *codes, coupon="c1"):
    return add_codes(ledger, dict.fromkeys(codes, coupon), now=NOW)


def take(ledger, plan, member, **changes):
    one = a_claim(plan, consenting(ledger, member), coded=True, **changes)
    (answer,) = claim(ledger, [one], now=NOW, until=SOON)
    return answer


def test_codes_are_added_once_and_stand_for_one_coupon(ledger):
    assert (fill(ledger, "A-1", "A-2").new, coded_coupons(ledger)) == (2, {"c1"})
    again = fill(ledger, "A-2", "A-3")
    assert (again.new, again.known) == (1, 1)
    other = fill(ledger, "A-3", "B-1", coupon="c2")
    assert (other.new, other.known, other.taken) == (1, 0, {"A-3": "c1"})
    assert pools(ledger) == {"c1": Pool(free=3), "c2": Pool(free=1)}


def test_each_send_takes_a_code_until_the_pool_is_empty(ledger):
    plan = live_plan(ledger)
    fill(ledger, "A-1", "A-2")
    taken = [take(ledger, plan, member) for member in ("ann", "bob", "cem")]
    assert sorted(one.code for one in taken[:2]) == ["A-1", "A-2"]
    assert isinstance(taken[2], Declined)
    assert taken[2].reason == "codes_used_up"
    settle(ledger, [Ends(taken[:2], "accepted", NOW)])
    assert pools(ledger)["c1"] == Pool(sent=2)
    assert {one.member_id for one in all_codes(ledger)} == {"ann", "bob"}
    assert verify(ledger).breaches == ()


def test_who_is_declined_or_held_out_takes_none(ledger):
    plan = live_plan(ledger, limits={"budget:24": 0})
    fill(ledger, "A-1")
    assert take(ledger, plan, "ann").reason == "budget"
    assert pools(ledger) == {"c1": Pool(free=1)}


def test_a_message_without_room_takes_none(ledger):
    plan = live_plan(ledger)
    fill(ledger, "A-1")
    (answer,) = claim(ledger, [a_claim(plan, consenting(ledger, "ann"))], now=NOW, until=SOON)
    assert isinstance(answer, Claimed)
    assert answer.code is None
    assert pools(ledger) == {"c1": Pool(free=1)}


def test_what_was_surely_not_delivered_returns_its_code(ledger):
    plan = live_plan(ledger)
    fill(ledger, "A-1")
    first = take(ledger, plan, "ann")
    give_back(ledger, [first])
    assert pools(ledger) == {"c1": Pool(free=1)}
    assert take(ledger, plan, "bob").code == "A-1"
    assert verify(ledger).breaches == ()


def test_a_call_that_is_made_again_carries_the_same_code(ledger):
    plan = live_plan(ledger)
    fill(ledger, "A-1", "A-2")
    first = take(ledger, plan, "ann")
    one = a_claim(plan, consenting(ledger, "ann"), coded=True)
    again = reclaim(ledger, one, now=NOW, until=SOON + timedelta(minutes=1))
    assert again.code == first.code == "A-1"


@pytest.mark.parametrize(("codes", "got"), [(("A-1",), "A-1"), ((), None)])
def test_a_call_of_before_there_were_codes_takes_one_when_it_is_made_again(ledger, codes, got):
    plan = live_plan(ledger)
    one = a_claim(plan, consenting(ledger, "ann"))
    claim(ledger, [one], now=NOW, until=SOON)
    fill(ledger, *codes)
    again = a_claim(plan, consenting(ledger, "ann"), coded=True)
    answer = reclaim(ledger, again, now=NOW, until=SOON + timedelta(minutes=1))
    assert getattr(answer, "code", None) == got
    assert getattr(answer, "reason", None) == (None if got else "codes_used_up")


def test_the_planner_counts_free_codes(ledger):
    limits = {"coupon:c1": UNLIMITED, "coupon:c2": 7}
    fill(ledger, "A-1", "A-2", "A-3")
    assert left(ledger, limits) == {"coupon:c1": 3, "coupon:c2": 7}
    take(ledger, live_plan(ledger), "ann")
    assert left(ledger, limits | {"coupon:c1": 2})["coupon:c1"] == 1


def test_a_ledger_of_version_1_gets_what_it_lacks(ledger_url, tmp_path):
    with open_test_ledger(ledger_url, tmp_path) as ledger:
        who, plan = consenting(ledger, "ann"), live_plan(ledger)
        with ledger.writing() as connection:
            for table in reversed(tables.ADDED[2]):
                table.drop(connection)
            connection.execute(
                update(tables.meta)
                .where(tables.meta.c.name == "schema_version")
                .values(value="1")
            )  # fmt: skip
    with open_test_ledger(ledger_url, tmp_path) as ledger:
        fill(ledger, "A-1")
        (answer,) = claim(ledger, [a_claim(plan, who, coded=True)], now=NOW, until=SOON)
        assert answer.code == "A-1"
        with ledger.reading() as connection:
            told = connection.execute(
                text("SELECT value FROM meta WHERE name = 'schema_version'")
            ).scalar_one()
        assert told == str(tables.SCHEMA_VERSION)


def test_verify_finds_a_code_that_stands_at_no_send(ledger):
    plan = live_plan(ledger)
    fill(ledger, "A-1")
    take(ledger, plan, "ann")
    with ledger.writing() as connection:
        connection.execute(update(tables.code).values(send_id="forged"))
    assert {one.rule for one in verify(ledger).breaches} == {"codes"}
    with ledger.writing() as connection:
        connection.execute(delete(tables.code))
    assert verify(ledger).breaches == ()
