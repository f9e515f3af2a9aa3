"""Each recipe against what a pencil gives on a handful of orders."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.training.logs import FIRST, on, shop_of
from training.references import RECIPES, References, counts, tifuknn, up_cf
from training.references.recipe import Recipe
from training.shop import Past, Shop
from training.splits import SplitName

END = 100.0


def log(**members: list[str]) -> list[dict[str, Any]]:
    """Each member's orders, a day apart up to END - 1; an order is product letters."""
    return [
        {"member_id": member, "product_id": product, "day": day, "order_id": f"{member}{day}"}
        for member, orders in members.items()
        for day, order in enumerate(orders, start=int(END) - len(orders))
        for product in order
    ]


def past_of(folder: Path, rows: list[dict[str, Any]], **tables: Any) -> tuple[Shop, Past]:
    shop = shop_of(folder, rows, **tables)
    return shop, shop.past(FIRST + END, min_support=1)


def scores(shop: Shop, past: Past, recipe: Recipe) -> dict[str, dict[str, float]]:
    """By member and product; what a recipe has no word on is left out."""
    block = recipe(past)(np.arange(past.n_members, dtype=np.int32))
    products = [shop.product_ids[row] for row in np.flatnonzero(past.catalogue)]
    return {
        member: {p: float(v) for p, v in zip(products, row, strict=True) if v > -np.inf}
        for member, row in zip(shop.member_ids, block, strict=True)
    }


def test_up_cf_weights_what_similar_members_bought_of_late(tmp_path: Path) -> None:
    shop, past = past_of(tmp_path, log(a=["t", "tm"], b=["tmr"], c=["x"]))
    found = scores(shop, past, up_cf.fit)
    a_to_b = 2 / (2**0.75 * 3**0.25)
    b_to_a = 2 / (3**0.75 * 2**0.25)
    assert found["a"] == pytest.approx(
        {"t": 1 + a_to_b**10, "m": 0.5 + a_to_b**10, "r": a_to_b**10}
    )
    assert found["b"] == pytest.approx({"t": 1 + b_to_a**10, "m": 1 + 0.5 * b_to_a**10, "r": 1.0})
    assert found["c"] == {"x": 1.0}


def test_up_cf_takes_the_share_of_the_ten_latest_baskets(tmp_path: Path) -> None:
    orders = ["om", "om"] + ["t"] * 7 + ["tm"] * 3
    found = scores(*past_of(tmp_path, log(a=orders)), up_cf.fit)
    assert found["a"] == pytest.approx({"t": 1.0, "m": 0.3})


def test_up_cf_decides_between_equals_by_what_others_far_away_bought(tmp_path: Path) -> None:
    own = "abcdefghij"
    shop, past = past_of(tmp_path, log(me=[own], near=["j" + "klmnopqrst"]))
    found = scores(shop, past, up_cf.fit)["me"]
    assert found["j"] > found["a"] == pytest.approx(1)


def test_tifuknn_fades_within_groups_of_seven_and_from_group_to_group(tmp_path: Path) -> None:
    orders = ["ot", "o", "t", "", "", "m", "", "", "t"]  # the oldest group has two baskets
    rows = log(a=[order or "z" for order in orders])
    found = scores(*past_of(tmp_path, rows), tifuknn.fit)["a"]
    late, early = 1 / 7, 0.7 / 2
    expected = {
        "t": (late * (1 + 0.9**6) + early * 0.9) / 2,
        "o": early * (1 + 0.9) / 2,
        "m": late * 0.9**3 / 2,
    }
    assert {p: found[p] for p in "tom"} == pytest.approx({p: 0.7 * v for p, v in expected.items()})


def test_tifuknn_adds_the_mean_of_the_nearest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {"a": ["t"], "b": ["tm"], "c": ["r", "rx"]}
    shop, past = past_of(tmp_path, log(**members))
    r, x = (0.5 * 0.9 + 0.5), 0.5
    found = scores(shop, past, tifuknn.fit)["a"]
    assert found == pytest.approx(
        {"t": 0.7 + 0.3 / 2, "m": 0.3 / 2, "r": 0.3 * r / 2, "x": 0.3 * x / 2}
    )
    monkeypatch.setattr(tifuknn, "NEIGHBOURS", 1)
    assert scores(shop, past, tifuknn.fit)["a"] == pytest.approx({"t": 1.0, "m": 0.3})


def test_a_member_alone_and_one_without_orders_have_their_own_word(tmp_path: Path) -> None:
    rows = [*log(a=["t"]), {"member_id": "b", "product_id": "t", "day": 3.0, "kind": "view"}]
    shop, past = past_of(tmp_path, rows)
    assert scores(shop, past, tifuknn.fit) == {"a": pytest.approx({"t": 0.7}), "b": {}}
    assert scores(shop, past, up_cf.fit) == {"a": {"t": 1.0}, "b": {}}


def test_tops_count_all_orders_and_popular_those_of_a_month(tmp_path: Path) -> None:
    old = {"member_id": "a", "product_id": "o", "kind": "purchase"}
    rows = [*log(a=["t", "t"], b=["tm"]), *({**old, "day": day} for day in (1.0, 2.0, 3.0, 4.0))]
    shop, past = past_of(tmp_path, rows)
    assert scores(shop, past, counts.global_top)["b"] == {"o": 4, "t": 3, "m": 1}
    assert scores(shop, past, counts.personal_top)["b"] == {"t": 1, "m": 1}
    assert scores(shop, past, counts.popular)["b"] == {"o": 0, "t": 3, "m": 1}


def test_a_segments_counts_are_shrunk_to_the_shops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(counts, "SEGMENT_PRIOR", 10.0)
    rows = log(a=["t", "t"], b=["m"], c=["m"], d=["m"])
    regions = {"a": "north", "b": "south", "c": "south"}
    members = [{"member_id": member, "region": region} for member, region in regions.items()]
    found = scores(*past_of(tmp_path, rows, members=members), counts.popular_segment)
    assert found["a"] == pytest.approx({"t": 2 + 10 * 2 / 5, "m": 10 * 3 / 5})
    assert found["c"] == pytest.approx({"t": 10 * 2 / 5, "m": 2 + 10 * 3 / 5})
    assert found["d"] == {"t": 2, "m": 3}, "of d nothing is known: the whole shop"


def test_without_segments_popular_by_segment_is_popular(tmp_path: Path) -> None:
    shop, past = past_of(tmp_path, log(a=["t", "tm"], b=["m"]))
    assert (past.segments == -1).all()
    by_segment = scores(shop, past, counts.popular_segment)
    assert by_segment == scores(shop, past, counts.popular)


def test_a_segment_is_what_was_known_before_the_instant(tmp_path: Path) -> None:
    members = [
        {"member_id": "a", "region": "north", "tier": "gold", "valid_from": None},
        {"member_id": "b", "region": "north", "tier": None, "valid_from": None},
        {"member_id": "c", "region": "north", "tier": "gold", "valid_from": on(20)},
        {"member_id": "c", "region": None, "tier": "blue", "valid_from": on(40)},
    ]
    shop = shop_of(tmp_path, log(a=["t"], b=["t"], c=["t"], d=["t"]), members=members)

    def same(*days: float) -> list[int]:
        return shop.segments.at(FIRST + np.array(days)).tolist()

    # an undated row does not say since when a's tier was gold
    a, b, c, d = same(50, 50, 20, 50)
    assert a == b != -1
    assert c == d == -1, "c's first row is from that very instant on"
    gold, blue = same(50, 50, 40, 50)[2], same(50, 50, 41, 50)[2]
    assert len({a, gold, blue, -1}) == 4


def test_the_last_basket_has_all_references_of_a_date_and_its_own() -> None:
    dated, baskets = RECIPES[SplitName.DATE], RECIPES[SplitName.LAST_BASKET]
    assert list(dated) == ["popular", "popular-segment", "repeat", "als", "bm25"]
    assert list(baskets)[5:] == ["global-top", "personal-top", "up-cf", "tifuknn"]
    assert list(baskets)[:5] == list(dated)


def test_blocks_are_over_the_catalogue(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, log(a=["t", "tm", "to"], b=["t", "mo"]))
    past = shop.past(FIRST + END, min_support=2)
    fitted = References(past, SplitName.LAST_BASKET)
    for name in fitted.names:
        block = fitted.block(name, np.array([1, 0], np.int32))
        assert block.shape == (2, past.catalogue.sum())
        assert not np.isnan(block).any()
