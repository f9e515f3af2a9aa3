"""What the dataset is told of the past."""

from datetime import datetime, timedelta

import polars as pl
import pytest

from campaigns.instants import to_micros
from campaigns.ledger import dataset_tables as module
from campaigns.ledger.assigning import assign_arms
from campaigns.ledger.claims import Claimed, claim
from campaigns.ledger.dataset_tables import dataset_tables
from campaigns.ledger.erasing import erase
from campaigns.ledger.feedback import Feedback, hear
from campaigns.ledger.ledger import Ledger, open_ledger
from campaigns.ledger.redemptions import Use, redeem, reverse
from campaigns.ledger.settling import Ends, settle
from recsys.errors import LedgerError
from tests.campaigns.kit import NOW, a_claim, consenting, live_plan, open_test_ledger

SHARE = 0.4
PEOPLE = [f"m{number}" for number in range(20)]
MINUTE = timedelta(minutes=1)


def drawn(
    ledger: Ledger, members: list[str], share: float = SHARE, now: datetime = NOW
) -> dict[str, bool]:
    """Their arms in campaign 24: True is held out."""
    people = [consenting(ledger, member) for member in members]
    return dict(
        zip(members, assign_arms(ledger, "24", share=share, people=people, now=now), strict=True)
    )


def push(ledger: Ledger, held: dict[str, bool], state: str = "accepted") -> str:
    """A plan's sends and ghosts; its occasion."""
    plan = live_plan(ledger, rows=len(held))
    claims = [
        a_claim(plan, consenting(ledger, member), ghost=ghost) for member, ghost in held.items()
    ]
    taken = claim(ledger, claims, now=NOW, until=NOW + MINUTE)
    sent = [
        one for one, by in zip(taken, claims, strict=True)
        if isinstance(one, Claimed) and not by.ghost
    ]  # fmt: skip
    assert settle(ledger, [Ends(sent, state, NOW + MINUTE)])
    return plan.occasion


@pytest.mark.parametrize("state", ["accepted", "unknown"])
def test_pushes_are_what_was_sent_and_arms_are_both(ledger: Ledger, state: str) -> None:
    held = drawn(ledger, PEOPLE)
    push(ledger, held, state)
    told = dataset_tables(ledger)
    pushed = [member for member in PEOPLE if not held[member]]
    assert told["pushes"].rows(named=True) == [
        {"sent_at": NOW, "member_id": member, "campaign_id": "24", "coupon_id": "c1",
         "channel": "email"}
        for member in sorted(pushed)
    ]  # fmt: skip
    arms = told["arms"]
    assert dict(arms.select("member_id", pl.col("arm") == "holdout").iter_rows()) == held
    assert (arms["sent"] == (arms["arm"] == "treat").cast(pl.Int64)).all()
    assert arms.select("at", "campaign_id", "coupon_id", "share", "epoch").unique().rows() == [
        (NOW, "24", "c1", "0.4", 1)
    ]


def test_what_bounced_was_no_push_and_is_in_its_arm(ledger: Ledger) -> None:
    held = drawn(ledger, PEOPLE)
    occasion = push(ledger, held)
    first = next(member for member in PEOPLE if not held[member])
    key = ledger.identity.send_id(occasion, ledger.identity.person(first))
    hear(ledger, "mail", [Feedback("e1", key, "bounced", NOW)], now=NOW)
    told = dataset_tables(ledger)
    assert first not in told["pushes"]["member_id"].to_list()
    assert len(told["pushes"]) == list(held.values()).count(False) - 1
    assert first in told["arms"]["member_id"].to_list()


def test_many_are_read_in_parts(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    push(ledger, drawn(ledger, PEOPLE))
    whole = dataset_tables(ledger)
    monkeypatch.setattr(module, "_AT_A_TIME", 3)
    assert all(rows.equals(whole[table]) for table, rows in dataset_tables(ledger).items())


def test_who_was_pushed_without_a_draw_has_no_arm(ledger: Ledger) -> None:
    push(ledger, dict.fromkeys(PEOPLE, False))
    told = dataset_tables(ledger)
    assert told["pushes"].height == len(PEOPLE)
    assert told["arms"].is_empty()


def test_a_draw_after_the_plan_decides_on_none_of_its_pushes(ledger: Ledger) -> None:
    held = drawn(ledger, PEOPLE)
    treated = {member: False for member in PEOPLE if not held[member]}
    plan = live_plan(ledger, rows=len(treated))
    again = drawn(ledger, PEOPLE, share=0.1, now=NOW + MINUTE)
    both = [member for member in treated if not again[member]]
    claims = [a_claim(plan, consenting(ledger, member)) for member in both]
    later = NOW + 2 * MINUTE
    taken = claim(ledger, claims, now=later, until=later + MINUTE)
    sent = [one for one in taken if isinstance(one, Claimed)]
    assert len(settle(ledger, [Ends(sent, "accepted", later + MINUTE)])) == len(both)
    told = dataset_tables(ledger)
    assert told["pushes"].height == len(both)
    assert told["arms"].is_empty()


def test_who_shares_a_contact_point_with_somebody_held_out_was_not_drawn(ledger: Ledger) -> None:
    held = drawn(ledger, PEOPLE)
    one = next(member for member in PEOPLE if held[member])
    other = next(member for member in PEOPLE if not held[member])
    shared = consenting(ledger, other, f"{one}@example.invalid")
    claims = [a_claim(live_plan(ledger), shared, ghost=True)]
    assert isinstance(claim(ledger, claims, now=NOW, until=NOW + MINUTE)[0], Claimed)
    assert dataset_tables(ledger)["arms"].is_empty()


def test_redemptions_are_those_that_stand(ledger: Ledger) -> None:
    consenting(ledger, "m1")
    for order in ("o1", "o2"):
        at = NOW + MINUTE
        use = Use(
            order_id=order, coupon_id=f"c-{order}", member_id="m1", code=None, discount=1, at=at
        )
        redeem(ledger, use, limit=None, now=at)
    reverse(ledger, "o1", now=NOW + 2 * MINUTE)
    assert dataset_tables(ledger)["redemptions"].rows(named=True) == [
        {"redeemed_at": NOW + MINUTE, "member_id": "m1", "coupon_id": "c-o2", "campaign_id": None,
         "order_id": "o2"}
    ]  # fmt: skip


def test_an_erased_member_is_in_none_of_them(ledger: Ledger) -> None:
    push(ledger, drawn(ledger, PEOPLE))
    before = dataset_tables(ledger)
    for member in PEOPLE[:10]:
        erase(ledger, member, now=NOW + 2 * MINUTE)
    after = dataset_tables(ledger)
    rest = pl.col("member_id").is_in(PEOPLE[10:])
    for table in ("pushes", "arms"):
        assert after[table].equals(before[table].filter(rest))


def test_a_ledger_is_read_whatever_its_clock(ledger_url: str, tmp_path) -> None:  # type: ignore[no-untyped-def]
    with open_test_ledger(ledger_url, tmp_path) as made:
        push(made, drawn(made, PEOPLE))
        known = dataset_tables(made)
    key = tmp_path / "ledger.key"
    with pytest.raises(LedgerError, match="simulated clock"):
        open_ledger(ledger_url, key, clock="system", now=NOW)
    with open_ledger(ledger_url, key, clock=None, now=NOW) as read:
        assert all(rows.equals(known[table]) for table, rows in dataset_tables(read).items())
        assert to_micros(read.highest_instant()) == to_micros(NOW)
