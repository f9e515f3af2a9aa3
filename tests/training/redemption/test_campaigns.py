from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys.dataset import Dataset
from tests.small_shop import MEMBERS, TIME
from tests.training.redemption.coupon_shop import COUPONS, rewrite, shelf
from training.redemption import campaigns as reading
from training.redemption.campaigns import Campaigns
from training.redemption.campaigns import load as load_campaigns
from training.redemption.knowledge import known
from training.shop import Shop


def test_a_campaign_has_its_coupons_scopes_members_and_redemptions(
    campaigns: Campaigns, shop: Shop, coupon_shop: Path
) -> None:
    at = campaigns.campaign_ids.index("k3")
    coupons = campaigns.coupons(at)
    assert [campaigns.coupon_ids[row] for row in coupons] == [f"k3-{n}" for n in range(COUPONS)]
    for number, row in enumerate(coupons):
        inside = campaigns.scope[:, [row]].toarray().ravel() > 0
        assert [shop.product_ids[one] for one in np.flatnonzero(inside)] == shelf(number, 3)
    pushes = pl.read_parquet(coupon_shop / "pushes.parquet").filter(pl.col("campaign_id") == "k3")
    members = campaigns.targeted(at)
    assert [shop.member_ids[row] for row in members] == sorted(pushes["member_id"])
    redemptions = pl.read_parquet(coupon_shop / "redemptions.parquet")
    theirs = redemptions.filter(pl.col("campaign_id") == "k3")
    found = campaigns.redeemed(at, members)
    named = {
        (shop.member_ids[members[member]], campaigns.coupon_ids[coupons[coupon]])
        for member, coupon in zip(*np.nonzero(found), strict=True)
    }
    assert named == set(theirs.select("member_id", "coupon_id").iter_rows())


def test_a_small_campaign_was_given_whole(campaigns: Campaigns) -> None:
    given, certain = campaigns.given(0, campaigns.targeted(0))
    assert certain
    assert given.all()


def test_of_a_big_campaign_nobody_knows_who_was_given_what(
    campaigns: Campaigns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "WHOLE", COUPONS - 1)
    given, certain = campaigns.given(0, campaigns.targeted(0))
    assert not certain
    assert given.all()


def test_a_push_that_names_its_coupon_gave_that_one_alone(copy: Path, shop: Shop) -> None:
    rewrite(copy, "pushes", lambda rows: rows.with_columns(
        pl.format("{}-{}", "campaign_id", pl.lit(2)).alias("coupon_id")
    ))  # fmt: skip
    campaigns = load_campaigns(Dataset(copy), shop)
    given, certain = campaigns.given(1, campaigns.targeted(1))
    assert certain
    assert (given == (np.arange(COUPONS) == 2)).all()


def test_members_and_coupons_that_nobody_knows_are_left_out(copy: Path, shop: Shop) -> None:
    rewrite(copy, "pushes", lambda rows: pl.concat((rows, rows.head(1).with_columns(
        pl.lit("stranger").alias("member_id")
    ))))  # fmt: skip
    rewrite(copy, "redemptions", lambda rows: pl.concat((rows, rows.head(2).with_columns(
        pl.Series("member_id", ["stranger", rows["member_id"][0]]),
        pl.Series("coupon_id", [rows["coupon_id"][0], "nowhere"]),
    ))))  # fmt: skip
    found = load_campaigns(Dataset(copy), shop)
    kept = pl.read_parquet(copy / "redemptions.parquet").height - 2
    assert len(found.redemptions.members) == kept
    assert (found.pushes.members >= 0).all()


def test_a_push_of_a_campaign_of_no_table_tells_of_the_member_alone(
    copy: Path, shop: Shop, campaigns: Campaigns
) -> None:
    day = campaigns.starts[3] + 0.5
    at = datetime.fromtimestamp(day * 86_400, UTC)
    rewrite(copy, "pushes", lambda rows: pl.concat((rows, rows.head(2).with_columns(
        sent_at=pl.lit(at).cast(TIME), campaign_id=pl.Series(["x", "y"]),
        member_id=pl.lit(MEMBERS[7]),
    ))))  # fmt: skip
    found = load_campaigns(Dataset(copy), shop)
    for campaign in range(len(campaigns.campaign_ids)):
        assert found.targeted(campaign).tolist() == campaigns.targeted(campaign).tolist()
    before, after = known(shop, campaigns, day + 1), known(shop, found, day + 1)
    told = shop.member_ids.index(MEMBERS[7])
    assert after.last_push[told] == np.float32(day)
    moved = np.flatnonzero((before.member != after.member).any(axis=1))
    assert moved.tolist() == [told]
