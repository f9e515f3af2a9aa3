from datetime import timedelta

import polars as pl
import pytest
from sqlalchemy import insert

from campaigns.audience import audience_fields, member_table
from campaigns.ledger.claims import claim
from campaigns.ledger.settling import Ends, settle
from campaigns.ledger.tables import redemption
from campaigns.message import Product
from campaigns.shop import audience_members, campaign_coupons, issue_limits
from campaigns.showcase import showcase
from recsys.dataset import Dataset
from recsys.errors import CampaignError, FilterError
from tests.campaigns.kit import (
    MEMBERS,
    NOW,
    a_claim,
    consenting,
    definition,
    live_plan,
    write_dataset,
)


@pytest.fixture
def dataset(tmp_path):
    return write_dataset(tmp_path)


@pytest.fixture
def audience(ledger):
    def passing(dataset, rule, now=NOW):
        return audience_members(definition(audience=rule), dataset, ledger=ledger, now=now)

    return passing


def test_a_members_past_is_summed_up_to_now_and_no_further(dataset):
    row = member_table(dataset, now=NOW).row(2, named=True)
    assert row["member_id"] == "m2"
    summary = (row["orders"], row["spend"], row["products"], row["days_since_last_order"])
    assert summary == (1, 7.5, 3, 3)
    before = member_table(dataset, now=NOW - timedelta(days=3)).row(2, named=True)
    assert (before["orders"], before["spend"], before["days_since_last_order"]) == (0, 0, None)


def test_an_audience_is_read_from_attributes_and_the_past(dataset, audience):
    assert audience(dataset, None) == MEMBERS
    assert audience(dataset, 'region = "north" and products > 1') == ["m2", "m4"]


def test_an_audience_of_nobody_is_an_error_that_says_so(dataset, audience):
    with pytest.raises(CampaignError, match="Nobody of 8 members"):
        audience(dataset, "days_since_last_order < 3")


def test_an_undated_attribute_is_the_present_one(dataset, audience):
    members = pl.read_parquet(dataset.path / "members.parquet")
    members.with_columns(tier=pl.lit("gold")).write_parquet(dataset.path / "members.parquet")
    assert audience(Dataset(dataset.path), 'tier = "gold"') == MEMBERS


def test_a_shop_without_a_members_table_has_the_members_of_its_events(dataset, audience):
    (dataset.path / "members.parquet").unlink()
    assert audience(Dataset(dataset.path), "orders = 1") == MEMBERS


def test_an_unknown_field_of_an_audience_names_the_nearest(dataset, audience):
    with pytest.raises(FilterError, match="did you mean 'region'"):
        audience(dataset, 'regoin = "north"')


def test_an_audience_may_ask_for_what_the_ledger_knows(dataset, audience, ledger):
    plan = live_plan(ledger, rows=3)
    who = {member: consenting(ledger, member) for member in MEMBERS[:3]}
    claimed = [
        claim(ledger, [a_claim(plan, of)], now=NOW,
              until=NOW + timedelta(minutes=1))[0]
        for member, of in who.items() if member != "m2"
    ]  # fmt: skip
    settle(ledger, [Ends(claimed, "accepted", NOW)])
    facts = {"order_id": "o", "coupon": "c1", "person": who["m1"][0], "send_id": "", "discount": 1,
             "at": 0, "recorded_at": 0}  # fmt: skip
    with ledger.writing() as connection:
        connection.execute(insert(redemption).values(facts))
        connection.execute(insert(redemption).values(facts | {"order_id": "p", "reversed_at": 1,
                                                             "person": who["m0"][0]}))  # fmt: skip
    later = NOW + timedelta(days=10)
    assert audience(dataset, "pushes = 1", later) == ["m0", "m1"]
    assert audience(dataset, "pushes = 0 and days_since_last_push is null", later) == MEMBERS[2:]
    assert audience(dataset, "days_since_last_push = 10", later) == ["m0", "m1"]
    assert audience(dataset, "redemptions > 0", later) == ["m1"]
    assert {"region", "orders", "pushes", "redemptions"} <= set(audience_fields(dataset))


def test_coupons_come_from_the_datasets_campaign_or_by_name(dataset):
    assert campaign_coupons(definition(), dataset) == ["c1", "c2"]
    assert campaign_coupons(definition(coupons=["c2"]), dataset) == ["c2"]
    with pytest.raises(CampaignError, match="no coupon 'c9'"):
        campaign_coupons(definition(coupons=["c1", "c9"]), dataset)
    with pytest.raises(CampaignError, match="no coupons for campaign '99'"):
        campaign_coupons(definition(coupons={"from_campaign": "99"}), dataset)


def test_issue_limits_are_those_that_the_coupons_carry(dataset):
    assert issue_limits(dataset) == {}
    limited = pl.DataFrame({"coupon_id": ["c1", "c2"], "max_issues": [5, None]})
    limited.write_parquet(dataset.path / "coupons.parquet")
    assert issue_limits(Dataset(dataset.path)) == {"c1": 5}


def test_a_message_shows_what_the_member_buys_first_and_only_what_the_coupon_is_for(dataset):
    pairs = pl.DataFrame({"member_id": ["m1", "m0", "m0"], "coupon_id": ["c1", "c1", "c2"]})
    shown = showcase(dataset, coupons=["c1", "c2"], campaign="24", now=NOW)
    products = shown.products(pairs)
    assert products["m1", "c1"] == [Product("tea", "Green tea"), Product("milk", "Milk")]
    assert products["m0", "c2"] == [Product("bread", "Bread")]
    assert shown.coupon("c1").title == "1 € off drinks"
    assert shown.coupon("c2").title == "Your coupon c2"
