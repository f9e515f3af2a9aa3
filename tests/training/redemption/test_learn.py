from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys import redemption
from recsys.dataset import Dataset
from recsys.redemption import PAIR
from tests.training.redemption.coupon_shop import CAMPAIGNS, COUPONS, Change, rewrite, start
from training.redemption import campaigns as reading
from training.redemption import learn as learning
from training.redemption.campaigns import Campaigns
from training.redemption.campaigns import load as load_campaigns
from training.redemption.fold import redeeming
from training.redemption.knowledge import known
from training.redemption.learn import Learned, learn
from training.shop import Shop, load

CUT = start(CAMPAIGNS - 1)
DAY = CUT.timestamp() / 86_400


def learned(folder: Path) -> tuple[Learned, bytes]:
    """What is learned at CUT from a whole log, and every array that it is folded into."""
    shop = load(Dataset(folder))
    campaigns = load_campaigns(Dataset(folder), shop)
    found = learn(shop, campaigns, DAY)
    folded = redeeming(known(shop, campaigns, DAY), found).arrays()
    return found, b"".join(folded[name].tobytes() for name in sorted(folded))


def after(column: str, then: pl.Expr) -> Change:
    """Change the rows that were not known at CUT."""
    return lambda rows: rows.with_columns(
        pl.when(pl.col(column) >= CUT).then(then).otherwise(then.meta.root_names()[0])
        .alias(then.meta.root_names()[0])
    )  # fmt: skip


@pytest.mark.parametrize(
    ("table", "change"),
    [
        ("events", lambda rows: rows.filter(pl.col("occurred_at") < CUT)),
        ("events", after("occurred_at", pl.col("amount") * 100)),
        ("pushes", lambda rows: rows.filter(pl.col("sent_at") < CUT)),
        ("redemptions", lambda rows: rows.filter(pl.col("redeemed_at") < CUT)),
        ("redemptions", lambda rows: pl.concat((rows, rows.with_columns(
            redeemed_at=pl.lit(CUT + timedelta(days=1), rows.schema["redeemed_at"]))))),
    ],
    ids=["no events", "dearer", "no pushes", "no redemptions", "more redemptions"],
)  # fmt: skip
def test_another_future_is_the_same_model_bit_for_bit(
    coupon_shop: Path, copy: Path, table: str, change: Change
) -> None:
    rewrite(copy, table, change)
    one, arrays = learned(copy)
    other, same = learned(coupon_shop)
    assert one.to_json() == other.to_json()
    assert arrays == same


def test_another_past_is_another_model(coupon_shop: Path, copy: Path) -> None:
    earlier = CUT - timedelta(days=20)
    rewrite(copy, "redemptions", lambda rows: rows.filter(pl.col("redeemed_at") > earlier))
    assert learned(copy)[0].to_json() != learned(coupon_shop)[0].to_json()


def test_a_campaign_teaches_from_its_end_on(shop: Shop, campaigns: Campaigns) -> None:
    ends = float(campaigns.ends[2])
    assert learn(shop, campaigns, ends - 1e-6).campaigns == 2
    assert learn(shop, campaigns, ends).campaigns == 3


def test_what_members_bought_decides_what_they_redeem(shop: Shop, campaigns: Campaigns) -> None:
    """The rule of the coupon shop."""
    found = learn(shop, campaigns, DAY).redemption
    weights = dict(zip(PAIR, found.ranking, strict=True))
    assert weights["spend"] > 0
    assert weights["lift"] > 0
    of_campaign = dict(zip(found.of_campaign.names, found.of_campaign.weights, strict=True))
    assert of_campaign["rate"] > learning.PRIOR_CHANCE["rate"]


def test_selection_is_learned_where_it_is_unknown_what_was_given(
    shop: Shop, campaigns: Campaigns, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not learn(shop, campaigns, DAY).redemption.selection.any()
    monkeypatch.setattr(reading, "WHOLE", COUPONS - 1)
    found = learn(shop, campaigns, DAY).redemption
    assert found.selection.any()
    # where all campaigns are like that nothing tells one from the other: each gets half
    prior = np.array([learning.PRIOR.get(name, 0.0) for name in PAIR], np.float32)
    np.testing.assert_allclose(found.ranking - prior, found.selection, atol=1e-3)


def test_without_a_redemption_the_prior_says_what_is_bought_is_redeemed(
    copy: Path, shop: Shop
) -> None:
    (copy / "redemptions.parquet").unlink()
    (copy / "pushes.parquet").unlink()
    campaigns = load_campaigns(Dataset(copy), shop)
    found = learn(shop, campaigns, DAY)
    assert found.to_json()["prior_only"]
    assert found.redemptions == 0
    weights = dict(zip(PAIR, found.redemption.ranking.tolist(), strict=True))
    assert {name for name, weight in weights.items() if weight} == set(learning.PRIOR)
    chance = redeeming(known(shop, campaigns, DAY), found).of_coupons(
        np.arange(len(shop.member_ids), dtype=np.int32), now=DAY
    )
    coupons = campaigns.coupons(CAMPAIGNS - 1)
    lines = known(shop, campaigns, DAY).bought(np.arange(200, dtype=np.int32), coupons).lines
    bought, other = chance[:, coupons][lines > 0], chance[:, coupons][lines == 0]
    assert bought.mean() > 2 * other.mean()
    assert 0.2 * learning.RATE_OF_COUPON < other.mean() < 5 * learning.RATE_OF_COUPON


def test_without_a_redemption_what_many_buy_stands_first_of_what_one_never_bought(
    copy: Path, shop: Shop
) -> None:
    (copy / "redemptions.parquet").unlink()
    campaigns = load_campaigns(Dataset(copy), shop)
    knowledge, coupons = known(shop, campaigns, DAY), campaigns.coupons(CAMPAIGNS - 1)
    offered = knowledge.offered(coupons)
    bought = knowledge.bought(np.arange(200, dtype=np.int32), coupons)
    rank = learn(shop, campaigns, DAY).redemption.rank(redemption.pair(offered, bought))
    order = np.argsort(offered.buyers)
    assert offered.buyers[order[0]] < offered.buyers[order[-1]]
    neither = (bought.lines[:, order[0]] == 0) & (bought.lines[:, order[-1]] == 0)
    assert neither.any()
    assert (rank[neither, order[-1]] > rank[neither, order[0]]).all()


def test_a_shop_in_another_currency_learns_the_same(coupon_shop: Path, copy: Path) -> None:
    rewrite(copy, "events", lambda rows: rows.with_columns(pl.col("amount") * 7))
    rewrite(copy, "coupons", lambda rows: rows.with_columns(pl.col("value") * 7))
    one, other = learned(copy)[0].redemption, learned(coupon_shop)[0].redemption
    np.testing.assert_allclose(one.ranking, other.ranking, atol=1e-3)
    np.testing.assert_allclose(one.of_coupon.weights, other.of_coupon.weights, atol=1e-3)


def test_a_sample_of_members_is_the_same_in_any_order(shop: Shop) -> None:
    members = np.arange(200, dtype=np.int32)
    some = learning._sample(members, 30, "k0", shop)
    assert len(some) == 30
    assert (np.diff(some) > 0).all()
    assert (learning._sample(members[::-1], 30, "k0", shop) == some).all()
