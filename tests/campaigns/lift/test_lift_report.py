"""From plan to report over real ledgers: what is measured."""

import shutil
from datetime import timedelta

import polars as pl
import pytest

from campaigns.erasing import forget_member
from campaigns.ledger.arms import read_arms
from campaigns.ledger.past_plans import past_plans
from campaigns.ledger.redemptions import Redemption, Use, redeem, reverse
from campaigns.lift.report import lift_report
from campaigns.lift.wording import latest
from campaigns.plan import read_plan
from campaigns.run import plan_campaign, send_plan
from tests.campaigns.kit import NOW, WEEK
from tests.campaigns.lift.kit import (
    LATER,
    MEMBERS,
    ORDER,
    SENT,
    TREBLE,
    a_campaign,
    answered,
    arms_of,
    effect,
    forge,
    lift_of,
    lift_shop,
    names,
    person,
    planned_and_sent,
    say,
    write_orders,
)


def orders_a_member(orders, arms, arm, *, days):
    """Counted from what was written, for those of an arm."""
    found = [
        at for member, at in orders if arms[member] == arm and SENT <= at < SENT + timedelta(days)
    ]
    return len(found) / sum(one == arm for one in arms.values())


def test_a_known_effect_is_found(shop, clock):
    planned_and_sent(shop, clock)
    arms = arms_of(shop, MEMBERS)
    orders = answered(shop, arms, times=TREBLE)
    clock.turn(days=40)
    lift = lift_of(shop).whole
    assert lift.withheld == []
    assert (lift.treated.members, lift.held_out.members) == tuple(
        sum(arm == side for arm in arms.values()) for side in ("treat", "holdout")
    )
    assert lift.reached == lift.treated.members
    assert all(one.holds for one in lift.checks)
    found = effect(lift, "orders", 28)
    assert found.planned == pytest.approx(orders_a_member(orders, arms, "treat", days=28))
    assert found.low < 4.0 < found.high
    assert found.low > 0
    assert found.total == pytest.approx(found.effect * lift.treated.members)
    revenue, profit = effect(lift, "revenue", 28), effect(lift, "profit", 28)
    assert revenue.effect == pytest.approx(ORDER * found.effect)
    assert profit.effect == pytest.approx(0.25 * revenue.effect - 0.5)  # what a coupon costs
    assert profit.low < 0.25 * ORDER * 4 - 0.5 < profit.high
    week = effect(lift, "orders", 7)
    assert week.planned == pytest.approx(orders_a_member(orders, arms, "treat", days=7))


def test_no_effect_is_not_found(sent, clock):
    answered(sent, arms_of(sent, MEMBERS))
    clock.turn(days=40)
    lift = lift_of(sent).whole
    assert {one.outcome for one in lift.effects} == {"orders", "revenue", "profit"}
    assert all(one.low < 0 < one.high for one in lift.effects if one.outcome != "profit")


def test_what_is_redeemed_costs_its_discount_and_is_undone_with_its_order(sent, clock):
    arms = arms_of(sent, MEMBERS)
    answered(sent, arms)
    without = effect_of_profit(sent, clock)
    pushed = sorted(member for member, arm in arms.items() if arm == "treat")
    with sent.open_ledger() as ledger:
        for place, member in enumerate(pushed[:80]):
            use = Use(f"r{place}", "c1", 200, NOW + timedelta(days=2), member)
            assert isinstance(redeem(ledger, use, limit=None, now=clock()), Redemption)
        assert reverse(ledger, "r0", now=clock())
    lift = lift_of(sent).whole
    assert not any(one.outcome == "redemptions" and one.day < 3 for one in lift.effects)
    redeemed = effect(lift, "redemptions", 7)
    assert redeemed.planned == pytest.approx(79 / len(pushed))
    mean = latest(lift).planned
    assert mean == pytest.approx(without - 2.0 * 79 / len(pushed))


def effect_of_profit(shop, clock):
    clock.turn(days=40)
    return latest(lift_of(shop).whole).planned


def test_an_erased_member_is_counted_and_left_out_of_either_arm(shop, clock):
    planned_and_sent(shop, clock)
    arms = arms_of(shop, MEMBERS)
    gone = [
        sorted(member for member, arm in arms.items() if arm == side)[0]
        for side in ("treat", "holdout")
    ]
    orders = answered(shop, arms, times=TREBLE)
    clock.turn(days=40)
    for member in gone:
        forget_member(shop, member)
    lift = lift_of(shop).whole
    assert (lift.treated.erased, lift.held_out.erased) == (1, 1)
    assert lift.treated.members == sum(arm == "treat" for arm in arms.values())
    rest = {member: arm for member, arm in arms.items() if member not in gone}
    kept = [(member, at) for member, at in orders if member in rest]
    found = effect(lift, "orders", 28)
    assert found.planned == pytest.approx(orders_a_member(kept, rest, "treat", days=28))
    assert lift.days[0].treated == lift.treated.clusters - 1


def test_members_who_share_an_address_are_one_cluster_in_one_arm(tmp_path, clock):
    """Every tenth shares with the one before."""
    pairs = {f"n{at:04d}": f"n{at - 1:04d}@example.invalid" for at in range(1, MEMBERS, 10)}
    shop = lift_shop(tmp_path, clock, members=MEMBERS, shared=pairs)
    planned_and_sent(shop, clock)
    arms = arms_of(shop, MEMBERS)
    assert all(
        arms[member] == arms[f"n{int(member[1:]) - 1:04d}"]
        for member in pairs
        if member in arms and f"n{int(member[1:]) - 1:04d}" in arms
    )
    orders = answered(shop, arms, times=TREBLE)
    clock.turn(days=40)
    lift = lift_of(shop).whole
    assert lift.withheld == []
    assert lift.treated.clusters < lift.treated.members
    found = effect(lift, "orders", 28)
    members = len(arms) / (lift.treated.clusters + lift.held_out.clusters)
    treated = [member for member, arm in arms.items() if arm == "treat"]
    through = [at for member, at in orders if member in treated and at < SENT + timedelta(28)]
    assert found.planned == pytest.approx(len(through) / lift.treated.clusters / members)
    assert found.low < 4.0 < found.high


def test_a_member_counts_once_from_the_first_slot_on(sent, clock):
    """Two occasions with the same arms: the whole begins with the first, for all."""
    arms = arms_of(sent, MEMBERS)
    orders = answered(sent, arms, times=TREBLE, days=60)
    clock.turn(days=10)
    planned_and_sent(sent, clock, starts_at=clock(), ends_at=clock() + WEEK)
    second = clock()
    clock.turn(days=80)
    found = lift_of(sent)
    assert [one.occasion for one in found.occasions] == [
        "tea@2017-12-01T09:00:00Z",
        "tea@2017-12-11T09:05:00Z",
    ]
    assert found.whole.treated == found.occasions[0].treated == found.occasions[1].treated
    assert found.whole.reached == found.whole.treated.members
    assert [one.reached for one in found.occasions] == [found.whole.reached] * 2
    left = "UPDATE send SET ghost = 1, cost = 0 WHERE occasion = :o AND person = :p"
    one = min(member for member, arm in arms.items() if arm == "treat")
    forge(sent, left, o=found.occasions[1].occasion, p=person(sent, one))
    reached = [one.reached for one in lift_of(sent).occasions]
    assert reached == [found.whole.reached, found.whole.reached - 1]
    whole, first, last = (
        effect(one, "orders", 28) for one in (found.whole, *found.occasions)
    )  # fmt: skip
    assert whole == first
    later = [at for m, at in orders if arms[m] == "treat" and second <= at < second + timedelta(28)]
    assert last.planned == pytest.approx(len(later) / found.whole.treated.members)
    # Both pushes cost; the second one falls into the first one's 28 days.
    profit = effect(found.whole, "profit", 28)
    assert profit.planned == pytest.approx(0.25 * ORDER * whole.planned - 2 * 0.5)


def test_whoever_was_planned_counts_though_nobody_reached_them(file_shop, clock):
    plan, _ = plan_campaign(file_shop, a_campaign())
    arms = arms_of(file_shop, MEMBERS)
    left = sorted(member for member, arm in arms.items() if arm == "treat")[:50]
    clock.instant += LATER
    say(file_shop, {member: f"{member}@example.invalid" for member in left}, "no")
    send_plan(file_shop, plan.plan_id)
    answered(file_shop, arms, times=TREBLE)
    clock.turn(days=40)
    lift = lift_of(file_shop).whole
    assert lift.treated.members == sum(arm == "treat" for arm in arms.values())
    assert lift.reached == lift.treated.members - 50


def test_a_plan_that_was_replaced_before_any_of_it_was_sent_counts_nothing(file_shop, clock):
    plan_campaign(file_shop, a_campaign(title="too many"))
    clock.instant += LATER
    planned_and_sent(file_shop, clock, budget=40.0, title="fewer")
    arms = arms_of(file_shop, MEMBERS)
    answered(file_shop, arms)
    clock.turn(days=40)
    lift = lift_of(file_shop).whole
    assert lift.treated.members == lift.reached == 80


def test_the_ledger_remembers_what_plans_that_went_with_age_had_planned(sent, clock):
    answered(sent, arms_of(sent, MEMBERS), times=TREBLE)
    clock.turn(days=40)
    before = lift_of(sent)
    shutil.rmtree(sent.plans)
    assert lift_of(sent) == before


def test_rows_of_a_live_plan_that_wait_count_as_planned(sent):
    """The first batch is claimed, then the sender stops."""
    with sent.open_ledger() as ledger:
        (past,) = past_plans(ledger, "tea")
    counts = read_plan(past.plan_id, sent.plans).counts()
    forge(sent, "DELETE FROM outcome WHERE send_id IN (SELECT send_id FROM send LIMIT 30)")
    forge(sent, "DELETE FROM send WHERE send_id IN (SELECT send_id FROM send LIMIT 30)")
    forge(sent, "UPDATE plan SET state = 'live'")
    lift = lift_of(sent).whole
    assert (lift.treated.members, lift.held_out.members) == (counts["push"], counts["held_out"])
    assert lift.reached < lift.treated.members


def test_days_are_told_as_they_pass_and_the_future_is_not_known(sent, clock):
    answered(sent, arms_of(sent, MEMBERS), times=TREBLE)
    told = []
    for _ in range(30):
        clock.turn(days=1)
        told.append({one.day for one in lift_of(sent).whole.effects})
    # The orders of the first day are too few.
    assert [len(days) for days in told] == [0] * 2 + [1] * 4 + [2] * 7 + [3] * 14 + [4] * 3
    assert told[-1] == {3, 7, 14, 28}


def test_returns_and_own_margins_count(sent, clock):
    arms = arms_of(sent, MEMBERS)
    answered(sent, arms, times=TREBLE)
    clock.turn(days=40)
    before = latest(lift_of(sent).whole)
    products = sent.folder / "dataset" / "products.parquet"
    catalogue = pl.read_parquet(products)
    catalogue.with_columns(margin=pl.lit(7.5)).write_parquet(products)
    margins = latest(lift_of(sent).whole)
    assert margins.effect + 0.5 == pytest.approx((before.effect + 0.5) * 7.5 / (0.25 * ORDER))
    after = sent.folder / "dataset" / "events" / "after.parquet"
    some = pl.read_parquet(after)
    pl.concat([some, some.with_columns(kind=pl.lit("return"))]).write_parquet(after)
    undone = lift_of(sent).whole
    assert all(abs(one.planned) < 1e-9 for one in undone.effects if one.outcome == "revenue")


def test_a_bounce_costs_nothing(sent, clock):
    answered(sent, arms_of(sent, MEMBERS), times=TREBLE)
    clock.turn(days=40)
    before = latest(lift_of(sent).whole).planned
    forge(sent, "UPDATE send SET released = 1 WHERE ghost = 0")
    assert latest(lift_of(sent).whole).planned == pytest.approx(before + 0.5)


def test_campaigns_do_not_see_each_other(sent, clock):
    clock.turn(days=10)
    planned_and_sent(sent, clock, campaign="milk", starts_at=clock(), ends_at=clock() + WEEK)
    with sent.open_ledger() as ledger:
        assert len(read_arms(ledger, "milk").claims) == len(read_arms(ledger, "tea").claims)
        assert {row[1] for row in read_arms(ledger, "milk").plans} == {"milk@2017-12-11T09:05:00Z"}
    write_orders(sent, [(names(1)[0], NOW + timedelta(days=60))], "late")
    clock.turn(days=60)
    both = lift_report(sent, ["tea", "milk", "tea"]).campaigns
    assert [one.campaign for one in both] == ["tea", "milk"]
