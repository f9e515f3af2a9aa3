from datetime import timedelta

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.explain import explain_member
from campaigns.plan import read_plan
from campaigns.run import plan_campaign, plan_together, send_plan, what_if
from campaigns.verify import verify
from recsys.errors import CampaignError
from tests.campaigns.kit import (
    MEMBERS,
    NOW,
    WEEK,
    Clock,
    TableOffers,
    bread,
    composition,
    definition,
    tea,
)

REACHED = MEMBERS[:-1]
"""who has consented"""


def tables(tea=None, bread=None, cost=0.5):
    """Two campaigns, a coupon each."""
    tea = tea or {m: 1.0 + i / 10 for i, m in enumerate(MEMBERS)}
    bread = bread or {m: 1.7 - i / 10 for i, m in enumerate(MEMBERS)}
    return {
        "tea": TableOffers(["c1"], {(m, "c1"): v for m, v in tea.items()}, {"c1": cost}),
        "bread": TableOffers(["c2"], {(m, "c2"): v for m, v in bread.items()}, {"c2": cost}),
    }


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shop(tmp_path, clock):
    return composition(tmp_path, clock, tables())


def rows(plan):
    return {row["member_id"]: row for row in plan.rows.iter_rows(named=True)}


def decided(plan):
    return {member: row["decision"] for member, row in rows(plan).items()}


def test_each_member_gets_the_campaign_that_earns_most_with_them(shop):
    (first, _), (second, _) = plan_together(shop, [tea(), bread()])
    assert decided(first) == {
        m: "no_consent" if m == "m7" else "push" if i >= 4 else "elsewhere"
        for i, m in enumerate(MEMBERS)
    }
    assert decided(second) == {
        m: "no_consent" if m == "m7" else "push" if i < 4 else "elsewhere"
        for i, m in enumerate(MEMBERS)
    }
    assert rows(first)["m0"]["reason"] == "campaign 'bread' with coupon 'c2' earns more"
    assert first.account == second.account
    assert first.account.value == pytest.approx(1.7 + 1.6 + 1.5 + 1.4 + 1.4 + 1.5 + 1.6)
    sent = [send_plan(shop, plan.plan_id).made["accepted"] for plan in (first, second)]
    assert sent == [3, 4]
    with shop.open_ledger() as ledger:
        assert verify(ledger).breaches == ()


def test_a_total_budget_goes_to_the_best_of_all_campaigns(shop):
    (first, _), (second, _) = plan_together(shop, [tea(), bread()], budget=1.5)
    pushed = {
        (m, plan.occasion.split("@")[0])
        for plan in (first, second)
        for m, what in decided(plan).items()
        if what == "push"
    }
    assert pushed == {("m0", "bread"), ("m1", "bread"), ("m6", "tea")}
    total = next(cap for cap in first.account.caps if cap.kind == "total")
    assert (total.most, total.used) == (150, 150)
    assert total.price is not None
    assert total.price > 0
    assert decided(first)["m3"] == "budget"


def test_what_was_spent_counts_in_the_total_budget(shop, clock):
    (first, _), (second, _) = plan_together(shop, [tea(), bread()], budget=1.5)
    for plan in (first, second):
        send_plan(shop, plan.plan_id)
    clock.turn(minutes=1)
    again = plan_together(shop, [tea(title="x"), bread(title="x")], budget=2.0)
    assert sum(decided(plan)[m] == "push" for plan, _ in again for m in MEMBERS) == 1


@pytest.mark.parametrize("budget", [0.0, 0.4])
def test_a_budget_for_nothing_is_an_empty_plan_that_says_why(shop, budget):
    plan = plan_campaign(shop, tea(budget=budget))[0]
    assert plan.counts() == {"budget": 7, "no_consent": 1}
    assert plan.account.value == 0.0


def test_a_campaign_runs_for_enough_members_or_for_none(tmp_path, clock):
    few = tables(tea=dict.fromkeys(MEMBERS[:3], 5.0) | dict.fromkeys(MEMBERS[3:], -0.5))
    shop = composition(tmp_path, clock, few)
    for least, pushes in ((3, 3), (5, 5), (7, 7), (8, 0)):
        plan = plan_campaign(shop, tea(min_sends=least, title=str(least)))[0]
        assert plan.counts()["push"] == pushes
        (minimum,) = plan.account.minimums
        assert (minimum.runs, minimum.pushes) == (pushes > 0, pushes)
    assert (minimum.reachable, minimum.limits) == (7, [])
    assert plan.counts() == {"minimum": 3, "no_offer_worth_it": 4, "no_consent": 1}


def test_limits_that_forbid_a_minimum_are_named(shop):
    plan = plan_campaign(shop, tea(min_sends=5, budget=1.2))[0]
    (minimum,) = plan.account.minimums
    assert (minimum.runs, minimum.reachable) == (False, 2)
    assert minimum.limits == ["budget of 'tea'"]
    assert decided(plan)["m1"] == "minimum"
    assert plan.counts()["push"] == 0


def test_what_a_minimum_asks_for_is_less_what_was_sent(shop, clock):
    plan = plan_campaign(shop, tea(min_sends=4, max_sends=4))[0]
    assert send_plan(shop, plan.plan_id).made["accepted"] == 4
    clock.turn(minutes=1)
    again = plan_campaign(shop, tea(min_sends=4, max_sends=5))[0]
    assert again.counts()["push"] == 1


def test_limits_that_contradict_each_other_are_named():
    with pytest.raises(ValueError, match="min_sends 9 and max_sends 5 contradict"):
        tea(min_sends=9, max_sends=5)


def test_a_later_campaigns_slot_is_kept_where_it_is_worth_more(shop, clock):
    later = tea(starts_at=NOW + timedelta(days=2), ends_at=NOW + WEEK)
    plan_campaign(shop, later)
    now = plan_campaign(shop, bread(ends_at=NOW + timedelta(days=1)))[0]
    # worth 0.9 of what tea expects: 0.9 * (1.0 + i / 10) against 1.7 - i / 10
    expected = {
        m: "push" if 1.7 - i / 10 > 0.9 * (1.0 + i / 10) else "kept" for i, m in enumerate(REACHED)
    }
    assert decided(now) == expected | {"m7": "no_consent"}
    assert rows(now)["m6"]["reason"] == "the slot is kept for campaign 'tea'"
    assert rows(now)["m6"]["expected_value"] == pytest.approx(0.9 * 1.6)
    told = explain_member(shop, now, "m6")["best_coupons"][0]
    assert told["to_change"] == "its value would have to rise by 0.34"  # 1.44 against 1.1
    assert set(expected.values()) == {"push", "kept"}


def test_an_earlier_campaigns_push_goes_first(shop):
    plan_campaign(shop, tea(max_sends=2))
    plan = plan_campaign(shop, bread())[0]
    assert plan.counts() == {"push": 5, "scheduled": 2, "no_consent": 1}
    assert "plan both together" in rows(plan)["m6"]["reason"]


def test_what_was_sent_or_is_long_away_keeps_no_slot(shop):
    far = tea(starts_at=NOW + 2 * WEEK, ends_at=NOW + 3 * WEEK)
    plan_campaign(shop, far)
    assert plan_campaign(shop, bread())[0].counts()["push"] == 7


AT_WILL = settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@AT_WILL
@given(
    share=st.sampled_from([0.0, 0.3, 0.6]),
    first=st.fixed_dictionaries(
        {"budget": st.sampled_from([0.0, 1.0, 2.0, 9.0])},
        optional={"max_sends": st.integers(4, 6), "min_sends": st.integers(1, 4)},
    ),
    second=st.fixed_dictionaries(
        {"budget": st.sampled_from([0.0, 1.0, 9.0])}, optional={"min_sends": st.integers(1, 4)}
    ),
    budget=st.sampled_from([None, 0.0, 1.5, 3.0]),
)
def test_plans_keep_every_limit_whoever_is_held_out(tmp_path_factory, share, first, second, budget):
    shop = composition(tmp_path_factory.mktemp("shop"), Clock(), tables())
    asked = [tea(holdout=share, **first), bread(holdout=share, **second)]
    plans = [plan for plan, _ in plan_together(shop, asked, budget=budget)]
    pushes = [[row for row in rows(plan).values() if row["decision"] == "push"] for plan in plans]
    slots = [
        member
        for plan in plans
        for member, what in decided(plan).items()
        if what in ("push", "held_out")
    ]
    assert len(slots) == len(set(slots))
    for campaign, some in zip(asked, pushes, strict=True):
        assert sum(row["cost"] for row in some) <= campaign.budget * 100
        assert len(some) <= (campaign.max_sends or 99)
        assert not some or len(some) >= (campaign.min_sends or 0)
        assert all(row["arm"] == "treat" for row in some)
    spent = sum(row["cost"] for some in pushes for row in some)
    assert budget is None or spent <= budget * 100
    held = [r for plan in plans for r in rows(plan).values() if r["decision"] == "held_out"]
    assert all(row["cost"] == 0 and row["arm"] == "holdout" for row in held)
    account = plans[0].account
    worth = sum(row["expected_value"] for some in pushes for row in some)
    assert account.value == pytest.approx(worth, abs=1e-4)
    assert account.bound >= account.value


def test_what_if_tells_value_over_budget_and_writes_nothing(shop):
    found = what_if(shop, [tea(holdout=0.5)], [0.0, 1.0, 2.0, 9.0])
    values = [one.account.value for one in found]
    assert values == sorted(values)
    assert [one.cost for one in found][:2] == [0.0, 1.0]
    assert not shop.plans.exists()
    with shop.open_ledger() as ledger, ledger.reading() as connection:
        for table in ("assignment", "holdout_epoch", "plan", "purse"):
            assert connection.exec_driver_sql(f"SELECT COUNT(*) FROM {table}").scalar() == 0


def test_what_if_agrees_with_the_plan_of_that_budget(shop):
    (asked,) = what_if(shop, [tea(), bread()], [1.5])
    (plan, _), _ = plan_together(shop, [tea(), bread()], budget=1.5)
    compared = {"naive": [], "naive_value": None, "basis": None, "assumed": None}
    assert asked.account == plan.account.model_copy(update=compared)
    (alone,) = what_if(shop, [tea(budget=9)], [1.0])
    assert alone.account.value == plan_campaign(shop, tea(budget=1))[0].account.value


def test_the_account_lies_in_the_plans_file(shop):
    for plan, _ in plan_together(shop, [tea(min_sends=2), bread()], budget=2):
        read = read_plan(plan.plan_id, shop.plans)
        assert read.account == plan.account
        assert read.rows.equals(plan.rows)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_value_that_is_no_number_is_refused_and_nothing_is_written(tmp_path, clock, bad):
    shop = composition(tmp_path, clock, tables(tea={"m0": 1.0, "m2": bad}))
    with pytest.raises(CampaignError, match=f"coupon 'c1' for member 'm2' is {bad}, no number"):
        plan_campaign(shop, tea())
    assert not shop.plans.exists()


@pytest.mark.parametrize("cost", [-0.5, 1e9])
def test_a_cost_that_makes_no_sense_is_refused(tmp_path, clock, cost):
    shop = composition(tmp_path, clock, tables(cost=cost))
    with pytest.raises(CampaignError, match="cost of coupon 'c1'"):
        plan_campaign(shop, tea())


def test_campaigns_that_cannot_share_slots_are_refused(shop):
    with pytest.raises(CampaignError, match="'tea' is given twice"):
        plan_together(shop, [tea(), tea()])
    far = bread(starts_at=NOW + 2 * WEEK, ends_at=NOW + 3 * WEEK)
    with pytest.raises(CampaignError, match="'bread' starts 7 days or more after"):
        plan_together(shop, [tea(), far])


@pytest.mark.parametrize("budget", [-1.0, float("nan"), float("inf")])
def test_a_budget_below_zero_is_refused(shop, budget):
    with pytest.raises(CampaignError, match="cannot be planned with"):
        plan_together(shop, [tea()], budget=budget)
    with pytest.raises(CampaignError, match="cannot be planned with"):
        what_if(shop, [tea()], [budget])


@pytest.mark.parametrize(
    ("column", "instant", "said"),
    [
        ("valid_until", NOW - timedelta(hours=1), "coupon 'c1' expired at 2017-12-01 08:00 UTC"),
        (
            "valid_from",
            NOW + timedelta(hours=1),
            "coupon 'c1' is not valid before 2017-12-01",
        ),
    ],
)
def test_a_coupon_that_is_not_valid_is_named(shop, column, instant, said):
    file = shop.folder / "dataset" / "coupons.parquet"
    dated = pl.when(pl.col("coupon_id") == "c1").then(pl.lit(instant)).alias(column)
    pl.read_parquet(file).with_columns(dated).write_parquet(file)
    with pytest.raises(CampaignError, match=said):
        plan_campaign(shop, tea())
    assert plan_campaign(shop, definition(campaign="tea", coupons={"from_campaign": "24"}))[1]


def test_a_coupon_for_no_product_is_named(shop):
    file = shop.folder / "dataset" / "coupon_products.parquet"
    pl.read_parquet(file).filter(pl.col("coupon_id") != "c1").write_parquet(file)
    with pytest.raises(CampaignError, match="'tea' coupon 'c1' is for no product"):
        plan_campaign(shop, tea())


def test_a_percent_coupon_without_an_end_is_named_under_a_hard_budget(shop):
    file = shop.folder / "dataset" / "coupons.parquet"
    endless = pl.read_parquet(file).with_columns(kind=pl.lit("percent"), value=pl.lit(10.0))
    endless.write_parquet(file)
    assert plan_campaign(shop, tea())[1]
    with pytest.raises(CampaignError, match="'c1' takes a percentage off without a max_discount"):
        plan_campaign(shop, tea(discount_budget=5.0))
    endless.with_columns(max_discount=pl.lit(1.0)).write_parquet(file)
    assert plan_campaign(shop, tea(discount_budget=5.0))[1]


def test_who_is_held_out_of_one_campaign_chooses_like_the_others(shop):
    (first, _), (second, _) = plan_together(shop, [tea(holdout=0.6), bread()])
    for at, member in enumerate(REACHED):
        arm = rows(first)[member]["arm"]
        own = {"treat": "push", "holdout": "held_out"}[arm]
        wanted = (own, "elsewhere") if at >= 4 else ("elsewhere", "push")
        assert (decided(first)[member], decided(second)[member]) == wanted
    assert {rows(first)[m]["arm"] for m in REACHED[4:]} == {"treat", "holdout"}


def test_money_of_who_is_held_out_goes_to_others(shop):
    asked = [tea(holdout=0.6), bread()]
    plans = [plan for plan, _ in plan_together(shop, asked, budget=1.5)]
    pushes = [r for plan in plans for r in rows(plan).values() if r["decision"] == "push"]
    held = [r for plan in plans for r in rows(plan).values() if r["decision"] == "held_out"]
    assert held
    assert sum(row["cost"] for row in pushes) == 150
