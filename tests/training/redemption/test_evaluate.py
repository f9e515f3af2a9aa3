from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from recsys.dataset import Dataset
from recsys.errors import DataError
from tests.training.redemption.coupon_shop import CAMPAIGNS, COUPONS, SAVERS
from training.redemption import campaigns as reading
from training.redemption.campaigns import Campaigns
from training.redemption.campaigns import load as load_campaigns
from training.redemption.evaluate import _row, auc, foresee
from training.shop import Shop

LAST = f"k{CAMPAIGNS - 1}"


def test_a_row_is_recall_among_the_first_and_the_rank_of_the_first_hit() -> None:
    scores = np.array([[0.9, 0.1, 0.8, 0.2], [0.5, 0.5, 0.5, 0.5]])
    redeemed = np.array([[False, True, True, False], [False, False, True, False]])
    row = _row(scores, redeemed, 2)
    assert row.recall.tolist() == [0.5, 0.0]  # of equals the first two are taken
    assert row.reciprocal_rank.tolist() == [1 / 2, 1 / 3]


@given(
    st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2).filter(
        lambda pairs: len({happened for _, happened in pairs}) == 2
    )
)
def test_the_auc_is_that_of_everybody(pairs: list[tuple[int, bool]]) -> None:
    scores, happened = (np.array(one) for one in zip(*pairs, strict=True))
    assert auc(scores, happened) == pytest.approx(roc_auc_score(happened, scores))


def test_an_auc_of_one_kind_is_none() -> None:
    assert np.isnan(auc(np.array([1.0, 2.0]), np.array([True, True])))


def test_the_rule_of_the_shop_is_foreseen(shop: Shop, campaigns: Campaigns) -> None:
    found = foresee(shop, campaigns, LAST, k=1)
    report = found.report()
    rows = report["rows"]
    assert list(rows) == ["random", "popular", "history", "ranker"]
    assert rows["ranker"]["recall"] > 0.75
    assert rows["ranker"]["recall"] > rows["popular"]["recall"] > 0
    assert rows["random"]["recall"] < 0.5
    assert report["who"] > 0.9
    assert report["coupons"] == COUPONS
    assert report["targeted"] == 100
    savers = np.isin([shop.member_ids[row] for row in found.targeted], SAVERS)
    assert found.who[savers].mean() > 3 * found.who[~savers].mean()
    assert 0.6 < report["redemptions"]["expected"] / report["redemptions"]["actual"] < 1.6


def test_the_same_campaign_is_foreseen_the_same(shop: Shop, campaigns: Campaigns) -> None:
    assert foresee(shop, campaigns, LAST).report() == foresee(shop, campaigns, LAST).report()


def test_of_a_big_campaign_only_a_members_best_are_expected(
    shop: Shop, campaigns: Campaigns, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "WHOLE", COUPONS - 1)
    monkeypatch.setattr("training.redemption.evaluate.FEW", 2)
    found = foresee(shop, campaigns, LAST)
    assert ((found.chance > 0).sum(axis=1) >= 2).all()
    assert (found.chance > 0).sum() < found.chance.size / 2


def test_an_unknown_campaign_is_named_with_its_nearest(shop: Shop, campaigns: Campaigns) -> None:
    with pytest.raises(DataError, match=r"no campaign 'kk3' .* did you mean k3\?"):
        foresee(shop, campaigns, "kk3")


def test_a_campaign_without_redemptions_or_a_past_says_so(copy: Path, shop: Shop) -> None:
    (copy / "redemptions.parquet").unlink()
    campaigns = load_campaigns(Dataset(copy), shop)
    with pytest.raises(DataError, match="none of its 100 members redeemed one of its 6 coupons"):
        foresee(shop, campaigns, LAST)
