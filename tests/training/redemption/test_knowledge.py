from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys import redemption
from recsys.dataset import Dataset
from recsys.redemption import MEMBER
from tests.training.redemption.coupon_shop import rewrite, shelf, start
from training.redemption.campaigns import Campaigns
from training.redemption.campaigns import load as load_campaigns
from training.redemption.knowledge import Knowledge, known
from training.shop import Shop, load

CAMPAIGN = 4
DAY = start(CAMPAIGN).timestamp() / 86_400


@pytest.fixture(scope="module")
def knowledge(shop: Shop, campaigns: Campaigns) -> Knowledge:
    return known(shop, campaigns, DAY)


@pytest.fixture(scope="module")
def bought(coupon_shop: Path) -> pl.DataFrame:
    """What members bought before DAY, one row a line, with the age in days."""
    day = datetime.fromtimestamp(DAY * 86_400, tz=UTC)
    return (
        pl.read_parquet(coupon_shop / "events.parquet")
        .filter(
            pl.col("member_id").is_not_null(),
            pl.col("kind") == "purchase",
            pl.col("occurred_at") < day,
        )
        .with_columns(age=(day - pl.col("occurred_at")).dt.total_microseconds() / 86_400e6)
    )


def test_what_a_member_did_in_a_scope_is_counted_line_by_line(
    knowledge: Knowledge, campaigns: Campaigns, shop: Shop, bought: pl.DataFrame
) -> None:
    members = np.array([3, 50, 120], np.int32)
    found = knowledge.bought(members, campaigns.coupons(CAMPAIGN))
    line = bought["amount"].mean()
    for at, member in enumerate(members):
        own = bought.filter(pl.col("member_id") == shop.member_ids[member])
        assert found.total[at] == pytest.approx(own["amount"].sum() / line, rel=1e-4)
        for coupon in range(found.lines.shape[1]):
            inside = own.filter(pl.col("product_id").is_in(shelf(coupon, CAMPAIGN)))
            assert found.lines[at, coupon] == len(inside)
            assert found.spend[at, coupon] == pytest.approx(inside["amount"].sum() / line, rel=1e-4)
            recent = np.exp(-inside["age"].to_numpy() / redemption.RECENT_DAYS).sum()
            assert found.recent[at, coupon] == pytest.approx(recent, rel=1e-3, abs=1e-4)


def test_what_is_known_of_a_coupon_is_of_all_members(
    knowledge: Knowledge, campaigns: Campaigns, bought: pl.DataFrame
) -> None:
    found = knowledge.offered(campaigns.coupons(CAMPAIGN))
    members = bought["member_id"].n_unique()
    for coupon in range(len(found.breadth)):
        inside = bought.filter(pl.col("product_id").is_in(shelf(coupon, CAMPAIGN)))
        assert found.breadth[coupon] == 5
        assert found.mean_lines[coupon] == pytest.approx(len(inside) / members, rel=1e-4)
        buyers = inside["member_id"].n_unique()
        assert found.buyers[coupon] == pytest.approx(buyers / members, rel=1e-4)
        assert found.discount[coupon] == pytest.approx(1 / bought["amount"].mean(), rel=1e-4)


def test_a_redemption_counts_for_coupons_that_share_a_product(
    knowledge: Knowledge, campaigns: Campaigns, shop: Shop, coupon_shop: Path
) -> None:
    """Every other campaign is for the same shelves, and those between for others."""
    used = pl.read_parquet(coupon_shop / "redemptions.parquet").filter(
        pl.col("redeemed_at") < start(CAMPAIGN)
    )
    row = used.filter(pl.col("campaign_id") == "k2").row(0, named=True)
    member = np.array([shop.member_ids.index(row["member_id"])], np.int32)
    found = knowledge.bought(member, campaigns.coupons(CAMPAIGN)).redeemed[0]
    theirs = used.filter(
        pl.col("member_id") == row["member_id"], pl.col("campaign_id").is_in(["k0", "k2"])
    )
    expected = np.bincount([int(one[-1]) for one in theirs["coupon_id"]], minlength=len(found))
    np.testing.assert_array_equal(found, expected)
    assert found.sum() > 0


def test_a_members_conduct_is_what_its_tables_say(
    knowledge: Knowledge, shop: Shop, coupon_shop: Path, bought: pl.DataFrame
) -> None:
    columns = dict(zip(MEMBER, knowledge.member.T, strict=True))
    pushes = pl.read_parquet(coupon_shop / "pushes.parquet").filter(
        pl.col("sent_at") < start(CAMPAIGN)
    )
    used = pl.read_parquet(coupon_shop / "redemptions.parquet").filter(
        pl.col("redeemed_at") < start(CAMPAIGN)
    )
    for row in (0, 33, 99, 150):
        name = shop.member_ids[row]
        theirs, sent = used.filter(member_id=name), pushes.filter(member_id=name)
        redeemed = theirs["campaign_id"].n_unique()
        rate = np.log((redeemed + 0.3) / (0.1 * len(sent) + 0.3))
        assert columns["rate"][row] == pytest.approx(rate, abs=1e-5)
        orders = bought.filter(member_id=name)["order_id"].n_unique()
        assert columns["orders"][row] == pytest.approx(np.log1p(orders), abs=1e-5)
        last = sent["sent_at"].max()
        days = 365 if last is None else (start(CAMPAIGN) - last).days
        assert columns["since_push"][row] == pytest.approx(np.log1p(days), abs=1e-3)


def test_who_pays_less_than_others_for_the_same_is_thrifty(
    copy: Path, campaigns: Campaigns
) -> None:
    cheap = pl.when(pl.col("member_id") == "m007").then(0.5).otherwise(1.0)
    rewrite(copy, "events", lambda rows: rows.with_columns(pl.col("amount") * cheap))
    shop = load(Dataset(copy))
    thrift = known(shop, campaigns, DAY).member[:, MEMBER.index("thrift")]
    assert thrift.argmax() == shop.member_ids.index("m007")


@pytest.mark.parametrize(
    ("kind", "value", "discount"),
    [("amount", 3.0, 3.0), ("percent", 20.0, 0.2), ("gift", None, 1.0), ("shipping", 2.0, None),
     (None, None, None)],
)  # fmt: skip
def test_a_discount_is_money_of_what_the_coupon_says(
    copy: Path, shop: Shop, kind: str | None, value: float | None, discount: float | None
) -> None:
    rewrite(copy, "coupons", lambda rows: rows.with_columns(
        pl.lit(kind, pl.String).alias("kind"), pl.lit(value, pl.Float64).alias("value")
    ))  # fmt: skip
    knowledge = known(shop, load_campaigns(Dataset(copy), shop), DAY)
    found = knowledge.offered(knowledge.campaigns.coupons(CAMPAIGN))
    if discount is None:
        assert np.isnan(found.discount).all()
        return
    unit = 1 / knowledge.line if kind == "amount" else found.price
    np.testing.assert_allclose(found.discount, discount * unit, rtol=1e-4)
