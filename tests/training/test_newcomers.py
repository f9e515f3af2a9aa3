from pathlib import Path

import numpy as np
import pytest

from recsys.dataset import Dataset
from tests.small_shop import END
from tests.training.logs import FIRST, shop_of
from training.newcomers import with_newcomers
from training.orders import orders
from training.shop import Shop, load

DAY = END.timestamp() / 86_400


@pytest.fixture(scope="module")
def shop(small_shop: Path) -> Shop:
    return load(Dataset(small_shop))


def everybody(shop: Shop, day: float) -> np.ndarray:
    return np.full(len(shop.member_ids), day)


def test_the_chosen_have_their_latest_one_or_two_orders_and_the_others_all(shop: Shop) -> None:
    before = everybody(shop, DAY - 20)
    cut, chosen = with_newcomers(shop, 0.4, before)
    assert 0.3 < chosen.mean() < 0.5
    had, has = (orders(one.known_before(before).purchases()) for one in (shop, cut))
    assert set(has.counts[chosen].tolist()) == {1, 2}
    assert (has.counts[~chosen] == had.counts[~chosen]).all()
    one = chosen & (has.counts == 1)
    np.testing.assert_array_equal(
        has.starts[has.latest()[chosen]], had.starts[had.latest()[chosen]]
    )
    assert 0.3 < one[chosen].mean() < 0.7
    later = shop.history.days >= DAY - 20
    assert (cut.history.days >= DAY - 20).sum() == later.sum(), "what is tested stays"
    assert len(cut.known) == len(cut.history.days)


def test_what_a_newcomer_did_before_the_kept_orders_is_gone(tmp_path: Path) -> None:
    rows = [
        {"member_id": "a", "product_id": f"p{day}", "day": float(day), "kind": kind}
        for day, kind in [(1, "view"), (2, "purchase"), (3, "view"), (4, "purchase"),
                          (5, "view"), (6, "purchase"), (7, "view"), (9, "purchase")]
    ]  # fmt: skip
    shop = shop_of(tmp_path, rows)
    cut, chosen = with_newcomers(shop, 1.0, everybody(shop, FIRST + 8))
    assert chosen.all()
    left = [shop.product_ids[product] for product in cut.history.products]
    assert left in (["p6", "p7", "p9"], ["p4", "p5", "p6", "p7", "p9"])


def test_who_is_chosen_follows_from_the_id_alone(shop: Shop) -> None:
    _, some = with_newcomers(shop, 0.2, everybody(shop, DAY))
    _, again = with_newcomers(shop, 0.2, everybody(shop, DAY - 30))
    _, more = with_newcomers(shop, 0.5, everybody(shop, DAY))
    np.testing.assert_array_equal(some, again)
    assert (more | ~some).all(), "a larger share has the smaller one's members too"
    assert not with_newcomers(shop, 0.0, everybody(shop, DAY))[1].any()
