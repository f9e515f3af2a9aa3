from dataclasses import replace

import pytest

from campaigns.calendar.running import run_due
from campaigns.ledger.events import approve, approved, events
from campaigns.run import plan_together, send_plan
from recsys.errors import CampaignError, LedgerError
from tests.campaigns.kit import Clock, composition, definition, over


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shop(tmp_path, clock, ledger_url):
    return over(composition(tmp_path, clock), ledger_url)


def under(shop, **limits):
    return replace(shop, settings=shop.settings.model_copy(update=limits))


def planned(shop, **changes):
    return plan_together(shop, [definition(**changes)], by="Ann")[0][0]


@pytest.mark.parametrize(
    ("limits", "waits"),
    [
        ({}, False),
        ({"approval_over_pushes": 7}, False),
        ({"approval_over_pushes": 6}, True),
        ({"approval_over_cost": 3.0}, False),
        ({"approval_over_cost": 2.99}, True),
        ({"approval_over_pushes": 7, "approval_over_cost": 0.0}, True),
    ],
)
def test_a_plan_over_either_limit_waits(shop, limits, waits):
    shop = under(shop, **limits)
    plan = planned(shop)  # 7 pushes, 3.00
    if not waits:
        assert send_plan(shop, plan.plan_id).made == {"accepted": 7}
        return
    with pytest.raises(CampaignError, match=r"waits for approval: 7 pushes at a cost of 3\.00"):
        send_plan(shop, plan.plan_id)
    assert not (shop.folder / "outbox").exists()


def test_a_second_person_lets_it_go(shop, clock):
    shop = under(shop, approval_over_pushes=0)
    plan = planned(shop)
    with shop.open_ledger() as ledger:
        for name in ("Ann", " ann ", "ANN"):
            with pytest.raises(LedgerError, match="a second person has to approve it"):
                approve(ledger, plan.plan_id, by=name, now=clock())
        assert not approved(ledger, plan.plan_id)
        assert approve(ledger, plan.plan_id, by="bob", now=clock())
        assert not approve(ledger, plan.plan_id, by="cleo", now=clock())
        told = [(one.kind, one.actor) for one in events(ledger, plan.plan_id)]
    assert told == [("planned", "Ann"), ("approved", "bob")]
    assert send_plan(shop, plan.plan_id).made == {"accepted": 7}


def test_another_plan_needs_another_approval(shop, clock):
    shop = under(shop, approval_over_pushes=0)
    first = planned(shop)
    with shop.open_ledger() as ledger:
        approve(ledger, first.plan_id, by="bob", now=clock())
    second = planned(shop, title="Changed")
    with pytest.raises(CampaignError, match="waits for approval"):
        send_plan(shop, second.plan_id)
    with shop.open_ledger() as ledger:
        with pytest.raises(LedgerError, match="is replaced; approve one that is still to be sent"):
            approve(ledger, first.plan_id, by="cleo", now=clock())
        with pytest.raises(LedgerError, match="is not in the ledger"):
            approve(ledger, "none", by="cleo", now=clock())


def test_a_run_respects_a_plan_that_waits_and_closes_it_when_its_time_is_over(shop, clock):
    shop = under(shop, approval_over_pushes=0)
    campaign = definition()
    first = run_due(shop, [campaign], by="ann")
    assert first.sent == []
    assert first.waiting[0].startswith(f"Plan {first.planned[0].plan_id} of 24@2017-12-01")
    again = run_due(shop, [campaign], by="bob")
    assert (again.planned, again.sent, len(again.waiting)) == ([], [], 1)
    clock.turn(days=7, seconds=1)
    (report,) = run_due(shop, [campaign], by="ann").sent
    assert report.outcomes == {"expired": 7, "skipped: no_consent": 1}
    assert not (shop.folder / "outbox").exists()
