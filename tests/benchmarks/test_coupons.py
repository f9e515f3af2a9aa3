from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.coupons import reference
from recsys.dataset import Dataset
from tests.training.redemption.coupon_shop import CAMPAIGNS, write_coupon_shop
from training.redemption.campaigns import load as load_campaigns
from training.redemption.evaluate import auc
from training.shop import load


def test_the_reference_finds_who_redeems_by_counts_known_before(tmp_path: Path) -> None:
    dataset = Dataset(write_coupon_shop(tmp_path / "dataset"))
    shop = load(dataset)
    campaigns, last = load_campaigns(dataset, shop), CAMPAIGNS - 1
    members = campaigns.targeted(last)
    redeemed = campaigns.redeemed(last, members).any(axis=1)
    table = reference.features(shop, campaigns, last)
    assert table.shape == (len(members), 65)
    scores = reference.chances(shop, campaigns, last)
    assert auc(scores, redeemed) > 0.8
    used = campaigns.redemptions
    later = np.where(used.days < campaigns.starts[last], used.days, np.inf)
    assert np.isinf(later).any()
    blind = replace(campaigns, redemptions=replace(used, days=later))
    np.testing.assert_array_equal(reference.features(shop, blind, last), table)
    np.testing.assert_array_equal(reference.chances(shop, blind, last), scores)
