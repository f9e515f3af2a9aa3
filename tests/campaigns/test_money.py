"""Plans within what coupons may cost, and what they may take off orders."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.explain import explain_member
from campaigns.report import report
from campaigns.run import plan_campaign, plan_together, send_plan, what_if
from campaigns.verify import verify
from recsys.errors import CampaignError
from tests.campaigns.kit import MEMBERS, Clock, TableOffers, bread, composition, definition, tea

BOTH = ["c1", "c2"]
WORTH = {(m, "c1"): 3.0 + i / 10 for i, m in enumerate(MEMBERS)} | {
    (m, "c2"): 2.0 + i / 10 for i, m in enumerate(MEMBERS)
}
OFF = {"c1": 5.0, "c2": 1.5}
COST = {"c1": 0.5, "c2": 0.2}


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shop(tmp_path, clock):
    return composition(tmp_path, clock, TableOffers(BOTH, WORTH, COST, OFF))


def pushes(plan):
    return [row for row in plan.rows.iter_rows(named=True) if row["decision"] == "push"]


def cap(plan, kind):
    return next(cap for cap in plan.account.caps if cap.kind == kind)


def test_a_plan_reserves_no_more_than_the_discount_budget_and_all_of_it_is_sent(shop):
    plan = plan_campaign(shop, definition(discount_budget=16.0))[0]
    given = pushes(plan)
    assert sum(row["most_off"] for row in given) <= 1600
    # one for 5.00 and six for 1.50, of seven members: two for 5.00 and four are worth less
    assert sorted(row["coupon_id"] for row in given) == ["c1", *["c2"] * 6]
    used = cap(plan, "discount")
    assert (used.name, used.most, used.used) == ("discount_budget of '24'", 1600, 1400)
    made = send_plan(shop, plan.plan_id)
    assert made.made["accepted"] == len(given)
    assert not any("discount_budget" in outcome for outcome in made.outcomes)
    with shop.open_ledger() as ledger:
        assert verify(ledger).breaches == ()


def test_what_was_reserved_before_counts(shop, clock):
    first = plan_campaign(shop, definition(discount_budget=3.0))[0]
    assert [row["coupon_id"] for row in pushes(first)] == ["c2", "c2"]
    send_plan(shop, first.plan_id)
    clock.turn(minutes=1)
    assert len(pushes(plan_campaign(shop, definition(discount_budget=4.6))[0])) == 1


def test_who_goes_without_for_discounts_is_told_so_and_what_it_would_take(shop):
    plan = plan_campaign(shop, definition(discount_budget=3.0))[0]
    rows = {row["member_id"]: row for row in plan.rows.iter_rows(named=True)}
    assert rows["m0"]["decision"] == "discount_budget"
    assert rows["m0"]["reason"].startswith("the discount budget was reserved")
    told = explain_member(shop, plan, "m0")["best_coupons"]
    by_coupon = {one["coupon_id"]: one for one in told}
    assert by_coupon["c1"]["to_change"] == "discount_budget of '24' leaves too little"
    pays = by_coupon["c2"]["pays"]["discount_budget of '24'"]
    assert pays == pytest.approx(150 * cap(plan, "discount").price)
    assert any("discount_budget of '24'" in words for words in report(shop, plan.plan_id).prices)


def test_other_budgets_are_asked_about_within_the_discount_budget(shop):
    (found,) = what_if(shop, [definition(discount_budget=3.0)], [50.0])
    assert found.pushes == 2


def test_a_coupon_without_an_end_is_refused_under_a_discount_budget(tmp_path, clock):
    endless = TableOffers(BOTH, WORTH, COST, {"c2": float("inf")})
    shop = composition(tmp_path, clock, endless)
    with pytest.raises(CampaignError, match="Nothing ends what coupon 'c2' takes off"):
        plan_campaign(shop, definition(discount_budget=3.0))
    assert not shop.plans.exists()
    assert plan_campaign(shop, definition())[1]


@pytest.mark.parametrize("bad", [float("nan"), -1.0])
def test_a_discount_that_makes_no_sense_is_refused(tmp_path, clock, bad):
    shop = composition(tmp_path, clock, TableOffers(BOTH, WORTH, COST, {"c2": bad}))
    with pytest.raises(CampaignError, match=f"discount of coupon 'c2' is {bad:g}; it must be"):
        plan_campaign(shop, definition())
    assert not shop.plans.exists()


def test_a_coupon_keeps_to_a_budget_of_its_own(shop):
    plan = plan_campaign(shop, definition(coupon_budgets={"c1": 1.4}))[0]
    assert [row["coupon_id"] for row in pushes(plan)].count("c1") == 2
    used = cap(plan, "coupon_budget")
    assert (used.name, used.most, used.used) == ("coupon_budgets of '24' for 'c1'", 2, 2)
    assert used.price == pytest.approx(1.0, abs=0.05)  # 3.x of one against 2.x of the other
    assert send_plan(shop, plan.plan_id).made["accepted"] == len(pushes(plan))


def test_the_lower_of_two_limits_on_a_coupon_is_the_one_that_is_named(shop):
    budgets = {"c1": 1.4, "c2": 0}
    plan = plan_campaign(shop, definition(coupon_budgets=budgets, max_per_coupon=1))[0]
    named = {one.name: one.most for one in plan.account.caps if one.coupon is not None}
    assert named == {
        "max_per_coupon of '24' for 'c1'": 1,
        "coupon_budgets of '24' for 'c2'": 0,
    }


def test_what_costs_nothing_is_within_any_budget_of_its_own(tmp_path, clock):
    shop = composition(tmp_path, clock, TableOffers(BOTH, WORTH, {"c1": 0.0}, OFF))
    plan = plan_campaign(shop, definition(coupon_budgets={"c1": 0}))[0]
    assert len(pushes(plan)) == 7


def test_a_budget_for_a_coupon_that_is_not_given_is_named(shop):
    with pytest.raises(CampaignError, match="names 'c3', which campaign '24' does not give; did"):
        plan_campaign(shop, definition(coupon_budgets={"c3": 5}))


MONEY = st.sampled_from([0.0, 1.0, 1.5, 4.5, 7.0, 30.0])


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    share=st.sampled_from([0.0, 0.4]),
    tea_off=st.none() | MONEY,
    bread_off=st.none() | MONEY,
    own=st.dictionaries(st.just("c2"), MONEY),
    least=st.none() | st.integers(1, 4),
    budget=st.none() | MONEY,
)
def test_no_plan_is_over_any_of_its_budgets(
    *, tmp_path_factory, share, tea_off, bread_off, own, least, budget
):
    tables = {
        "tea": TableOffers(["c1"], WORTH, COST, OFF),
        "bread": TableOffers(["c2"], WORTH, COST, OFF),
    }
    shop = composition(tmp_path_factory.mktemp("shop"), Clock(), tables)
    asked = [
        tea(discount_budget=tea_off, holdout=share),
        bread(discount_budget=bread_off, coupon_budgets=own, min_sends=least),
    ]
    plans = [plan for plan, _ in plan_together(shop, asked, budget=budget)]
    given = [pushes(plan) for plan in plans]
    for campaign, some in zip(asked, given, strict=True):
        off = campaign.discount_budget
        assert off is None or sum(row["most_off"] for row in some) <= off * 100
        for coupon, most in campaign.coupon_budgets.items():
            assert sum(row["cost"] for row in some if row["coupon_id"] == coupon) <= most * 100
        assert not some or len(some) >= (campaign.min_sends or 0)
    assert budget is None or sum(row["cost"] for some in given for row in some) <= budget * 100
    for used in plans[0].account.caps:
        assert used.used <= used.most
    skipped = [send_plan(shop, plan.plan_id).outcomes for plan in plans]
    refusals = [{"skipped: budget", "skipped: discount_budget"} & set(one) for one in skipped]
    planned = {what for plan in plans for what in plan.counts()}
    assert all(one <= {f"skipped: {what}" for what in planned} for one in refusals)
    sent = sum(one["accepted"] for one in skipped)
    assert sent == sum(len(some) for some in given)
