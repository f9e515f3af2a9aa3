from pathlib import Path

import numpy as np

from tests.training.logs import FIRST, shop_of
from training.calendar import calendar
from training.shop import Past
from training.sources.popular import order_counts


def test_orders_are_counted_before_each_members_own_instant(tmp_path: Path) -> None:
    rows = [
        {"member_id": member, "product_id": product, "day": day}
        for member, product, day in [
            ("a", "tea", 1.0), ("b", "tea", 8.0), ("b", "milk", 3.0), ("a", "tea", 10.0),
        ]
    ]  # fmt: skip
    shop = shop_of(tmp_path, [*rows, {"product_id": "tea", "day": 9.5, "order_id": "till"}])
    dated = calendar(
        FIRST + np.array([10.0, 4.0]), shop.history.purchases(), shop.anonymous.purchases()
    )
    members = np.array([0, 0, 1, 1], np.int32)
    products = np.array([0, 1, 0, 1], np.int32)
    assert shop.product_ids == ["milk", "tea"]
    assert dated.orders(members, products, days=7).tolist() == [1, 2, 1, 1]
    assert dated.orders(members, products, days=1).tolist() == [0, 1, 1, 0]
    assert dated.orders(members, products, days=30).tolist() == [1, 3, 1, 1]


def test_at_one_instant_they_are_what_was_popular(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    rows = [
        {"member_id": f"m{m}", "product_id": f"p{p}", "day": float(d), "order_id": f"{m} {d}"}
        for m, p, d in rng.integers(0, (9, 5, 40), (300, 3))
    ]
    shop = shop_of(tmp_path, rows)
    one = np.full(len(shop.member_ids), FIRST + 30)
    past: Past = shop.aligned(one, FIRST + 30, min_support=1)
    assert past.calendar is not None
    assert shop.past(FIRST + 30, min_support=1).calendar is None
    products = np.arange(5, dtype=np.int32)
    for days in (7, 30):
        found = past.calendar.orders(np.zeros(5, np.int32), products, days=days)
        np.testing.assert_array_equal(found, order_counts(past, days=days))
