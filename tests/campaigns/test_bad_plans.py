"""What nobody can plan with: named, with nothing written, or an empty plan that says why."""

import json
from datetime import timedelta

import polars as pl
import pytest

from campaigns.definition import load_campaign
from campaigns.run import plan_campaign, send_plan
from recsys.errors import GuesslikeError, LedgerError
from tests.campaigns.kit import MEMBERS, NOW, Clock, TableOffers, composition

FILE = """\
campaign: tea
title: Your week
starts_at: 2017-12-01T09:00:00Z
ends_at: 2017-12-08T09:00:00Z
coupons: [c1]
budget: 100
holdout: 0
"""
TEA = {(m, "c1"): 1.0 for m in MEMBERS}
REACHED = len(MEMBERS) - 1


@pytest.fixture
def shop(tmp_path):
    return composition(tmp_path, Clock(), TableOffers(["c1"], TEA, {"c1": 0.5}, {"c1": 2.0}))


def planned(shop, changes=""):
    """The plan of a campaign file with some lines changed or added."""
    lines = [*FILE.splitlines(), *changes.splitlines()]
    file = shop.folder / "campaign.yaml"
    file.write_text("\n".join({line.partition(":")[0]: line for line in lines}.values()))
    return plan_campaign(shop, load_campaign(file))[0]


def mend(shop, table, **columns):
    """Writes columns into all rows of a table."""
    file = shop.folder / "dataset" / f"{table}.parquet"
    pl.read_parquet(file).with_columns(**{
        name: pl.lit(value) for name, value in columns.items()
    }).write_parquet(file)  # fmt: skip


def refused(shop, changes, said):
    with pytest.raises(GuesslikeError, match=said):
        planned(shop, changes)
    assert not shop.plans.exists()
    with shop.open_ledger() as ledger, ledger.reading() as connection:
        for table in ("plan", "purse", "outcome"):
            assert connection.exec_driver_sql(f"SELECT COUNT(*) FROM {table}").scalar() == 0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("budget: -1", r"campaign.yaml:6: budget: .*greater than or equal to 0"),
        ("budget: .nan", r"campaign.yaml:6: budget: .*finite number"),
        ("budget: .inf", r"campaign.yaml:6: budget: .*finite number"),
        ("budget: much", r"campaign.yaml:6: budget: .*valid number"),
        ("discount_budget: -1", r"campaign.yaml:8: discount_budget: .*greater than or equal to 0"),
        ("discount_budget: .nan", r"campaign.yaml:8: discount_budget: .*finite number"),
        ("coupon_budgets: {c1: -1}", r"campaign.yaml:8: coupon_budgets.c1: .*or equal to 0"),
        ("coupon_budgets: {c1: .nan}", r"campaign.yaml:8: coupon_budgets.c1: .*finite number"),
        ("coupon_budgets: {c2: 9}", r"coupon_budgets names 'c2', .*; did you mean 'c1'\?"),
        ("coupon_budgets: {tea: 9}", r"coupon_budgets names 'tea', .*; it gives c1"),
        ("min_sends: 0", r"campaign.yaml:8: min_sends: .*greater than or equal to 1"),
        ("max_sends: 0", r"campaign.yaml:8: max_sends: .*greater than or equal to 1"),
        ("max_per_coupon: -2", r"campaign.yaml:8: max_per_coupon: .*greater than or equal to 1"),
        ("min_sends: 9\nmax_sends: 5", "min_sends 9 and max_sends 5 contradict each other"),
        ("holdout: 2", r"campaign.yaml:7: holdout: .*less than"),
        ("audience: region = \"east\"", "Nobody of 8 members is in the audience of 'tea'; loosen"),
        ("audience: region > 3", "'region' is text, but the filter compares it with the number"),
        ("audience: regoin = \"north\"", "Unknown field 'regoin' .* did you mean 'region'"),
        ("coupons: [c9]", "The dataset has no coupon 'c9'; take it out"),
        ("coupons: []", "campaign.yaml:5: coupons"),
        ("coupons: {from_campaign: \"99\"}", "lists no coupons for campaign '99'"),
        ("ends_at: 2017-12-01T08:00:00Z", "ends_at must be after starts_at"),
        ("starts_at: 2017-11-01T09:00:00Z\nends_at: 2017-11-08T09:00:00Z",
         "The window of campaign 'tea' ended at"),
    ],
)  # fmt: skip
def test_a_campaign_that_cannot_be_planned_is_named_and_nothing_is_written(shop, line, said):
    refused(shop, line, said)


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"valid_until": NOW - timedelta(hours=1)}, "coupon 'c1' expired at 2017-12-01 08:00 UTC"),
        ({"valid_from": NOW + timedelta(hours=1)}, "coupon 'c1' is not valid before 2017-12-01"),
        ({"kind": "percent", "value": 10.0}, "'c1' takes a percentage off without a max_discount"),
        ({"tiers": ["gold"]}, "coupon 'c1' is for the tier 'gold', which no member has"),
    ],
)
def test_a_coupon_that_cannot_be_given_is_named_and_nothing_is_written(shop, columns, said):
    mend(shop, "coupons", **columns)
    refused(shop, "discount_budget: 9", said)


def test_a_coupon_for_no_product_is_named_and_nothing_is_written(shop):
    mend(shop, "coupon_products", coupon_id="c2")
    refused(shop, "", "coupon 'c1' is for no product that the catalogue knows")


@pytest.mark.parametrize(
    ("cost", "value", "off", "said"),
    [
        (float("nan"), 1.0, 1.0, "The cost of coupon 'c1' is nan; it must be from 0"),
        (0.5, float("nan"), 1.0, "value of coupon 'c1' for member 'm0' is nan, no number"),
        (0.5, 1.0, float("nan"), "The discount of coupon 'c1' is nan; it must be from 0"),
    ],
)
def test_what_is_no_number_is_named_and_nothing_is_written(tmp_path, cost, value, off, said):
    values = TEA | {(MEMBERS[0], "c1"): value}
    offers = TableOffers(["c1"], values, {"c1": cost}, {"c1": off})
    refused(composition(tmp_path, Clock(), offers), "", said)


@pytest.mark.parametrize(
    ("lines", "decision"),
    [
        ("budget: 0", "budget"),
        ("budget: 0.49", "budget"),
        ("discount_budget: 0", "discount_budget"),
        ("discount_budget: 1.99", "discount_budget"),
        ("coupon_budgets: {c1: 0.49}", "coupon_limit"),
    ],
)
def test_limits_that_allow_nothing_are_an_empty_plan_that_says_so(shop, lines, decision):
    plan = planned(shop, lines)
    assert plan.counts() == {decision: REACHED, "no_consent": 1}
    assert (plan.account.value, plan.account.bound) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("lines", "reachable", "way"),
    [
        ("budget: 2\nmin_sends: 5", 4, "budget of 'tea'"),
        ("min_sends: 5\ndiscount_budget: 7", 3, "discount_budget of 'tea'"),
        ("min_sends: 5\ncoupon_budgets: {c1: 1}", 2, "coupon_budgets of 'tea' for 'c1'"),
        ("min_sends: 5\nmax_per_coupon: 4", 4, "max_per_coupon of 'tea' for 'c1'"),
        ("min_sends: 5", 3, "max_issues of coupon 'c1'"),
    ],
)  # fmt: skip
def test_a_minimum_that_limits_contradict_is_an_empty_plan_that_names_them(
    shop, lines, reachable, way
):
    if "max_issues" in way:
        mend(shop, "coupons", max_issues=3)
    plan = planned(shop, lines)
    assert plan.counts() == {"minimum": REACHED, "no_consent": 1}
    (minimum,) = plan.account.minimums
    assert (minimum.runs, minimum.reachable, minimum.limits) == (False, reachable, [way])


def test_an_audience_that_nobody_may_write_to_is_an_empty_plan(shop):
    plan = planned(shop, 'audience: region = "south" and orders > 0')
    assert plan.counts()["push"] == 3
    alone = pl.DataFrame({"member_id": ["m9"], "region": ["west"]})
    alone.write_parquet(shop.folder / "dataset" / "members.parquet")
    plan = planned(shop, 'audience: region = "west"')
    assert plan.counts() == {"no_consent": 1}
    assert plan.account.value == 0.0


def test_a_plans_two_files_are_whole(shop):
    plan = planned(shop)
    assert {file.name for file in shop.plans.iterdir()} == {
        f"{plan.plan_id}.json", f"{plan.plan_id}.parquet",
    }  # fmt: skip
    definition = json.loads((shop.plans / f"{plan.plan_id}.json").read_text())
    assert definition["campaign"] == "tea"
    assert len(pl.read_parquet(shop.plans / f"{plan.plan_id}.parquet")) == len(MEMBERS)


def test_a_limit_below_what_was_spent_is_refused(shop):
    send_plan(shop, planned(shop).plan_id)
    before = sorted(shop.plans.iterdir())
    said = "The limit 100 of 'budget:tea' is below the 350 already spent; raise it, or leave"
    with pytest.raises(LedgerError, match=said):
        planned(shop, "budget: 1")
    assert sorted(shop.plans.iterdir()) == before
