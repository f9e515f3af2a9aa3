from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.dataset import Dataset
from tests.small_shop import END
from tests.training.logs import FIRST, on, shop_of
from training.config import TrainingSettings
from training.evidence import Pairs, collect
from training.orders import orders
from training.ranker import fit_facts, learn
from training.shop import Past, Shop, load
from training.splits import ByDate, ByLastOrder, Window, bought_pairs

SETTINGS = TrainingSettings(min_support=1)


def bought(member: str, day: float, *products: str) -> list[dict[str, Any]]:
    """One order, named after its member and day."""
    return [
        {"member_id": member, "product_id": product, "day": day, "order_id": f"{member}{day}"}
        for product in products
    ]


LOG = [
    *bought("a", 1, "tea"), *bought("a", 3, "tea", "milk"), *bought("a", 7.5, "rye"),
    *bought("a", 9.25, "tea", "oat"),
    *bought("b", 2, "tea"), *bought("b", 6, "milk"),
    *bought("c", 8, "oat", "milk"),
    {"product_id": "rye", "day": 0.5, "order_id": "a stranger's"},
]  # fmt: skip


def split_of(folder: Path, rows: list[dict[str, Any]], end: float, **tables: Any) -> ByLastOrder:
    return ByLastOrder(shop_of(folder, rows, **tables), FIRST + end, SETTINGS)


def truth(shop: Shop, window: Window) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for member, product in zip(window.truth.members, window.truth.products, strict=True):
        found.setdefault(shop.member_ids[member], set()).add(shop.product_ids[product])
    return found


def ages(shop: Shop, past: Past) -> set[tuple[str, str, float]]:
    """member, product, days before the past's own instant."""
    lines = zip(past.history.members, past.history.products, past.history.days, strict=True)
    return {
        (shop.member_ids[m], shop.product_ids[p], round(past.day - float(day), 6))
        for m, p, day in lines
    }


def test_the_last_order_is_held_out_and_each_member_has_its_own_clock(tmp_path: Path) -> None:
    split = split_of(tmp_path, LOG, 20)
    window = split.window(0)
    assert truth(split.shop, window) == {"a": {"tea", "oat"}, "b": {"milk"}}
    assert window.past.day == FIRST + 20
    assert ages(split.shop, window.past) == {
        ("a", "tea", 8.25), ("a", "tea", 6.25), ("a", "milk", 6.25), ("a", "rye", 1.75),
        ("b", "tea", 4.0),
        ("c", "oat", 12.0), ("c", "milk", 12.0),  # a single order is held out from nobody
    }  # fmt: skip


def test_a_level_does_to_the_log_what_the_one_after_it_left(tmp_path: Path) -> None:
    split = split_of(tmp_path, LOG, 20)
    assert truth(split.shop, split.window(1)) == {"a": {"rye"}}
    assert ages(split.shop, split.window(1).past) == {
        ("a", "tea", 6.5), ("a", "tea", 4.5), ("a", "milk", 4.5),
        # one order is left of b's, and c never had more: nothing is held out from them
        ("b", "tea", 4.0), ("c", "oat", 12.0), ("c", "milk", 12.0),
    }  # fmt: skip
    assert truth(split.shop, split.window(2)) == {"a": {"tea", "milk"}}
    assert truth(split.shop, split.window(3)) == {}


def test_what_comes_after_the_end_does_not_exist(tmp_path: Path) -> None:
    early, cut = split_of(tmp_path / "1", LOG, 9), [row for row in LOG if row["day"] < 9]
    same = split_of(tmp_path / "2", cut, 9)
    assert truth(early.shop, early.window(0)) == {"a": {"rye"}, "b": {"milk"}}
    for level in (0, 1):
        one, other = early.window(level), same.window(level)
        assert truth(early.shop, one) == truth(same.shop, other)
        assert ages(early.shop, one.past) == ages(same.shop, other.past)


def test_products_outside_the_catalogue_are_no_truth(tmp_path: Path) -> None:
    split = split_of(tmp_path, LOG, 20)
    strict = replace(split, settings=TrainingSettings(min_support=2))
    # oat stands in one order of what is left, c's; milk in c's and in a's second
    assert truth(split.shop, strict.window(0)) == {"a": {"tea"}, "b": {"milk"}}


def test_an_order_of_the_same_instant_is_not_known_before(tmp_path: Path) -> None:
    rows = [*bought("a", 1, "tea"), *bought("a", 2, "milk"), *bought("a", 2, "rye")]
    rows[2]["order_id"] = "z"
    rows += bought("b", 1, "rye")
    split = split_of(tmp_path, rows, 5)
    assert truth(split.shop, split.window(0)) == {"a": {"rye"}}
    assert ages(split.shop, split.window(0).past) == {
        ("a", "tea", 1.0), ("b", "rye", 4.0),
    }  # fmt: skip


def test_views_before_the_order_are_its_past_and_those_after_it_are_not(tmp_path: Path) -> None:
    views = [
        {"member_id": "a", "product_id": "jam", "kind": "view", "day": day} for day in (9.2, 9.3)
    ]
    split = split_of(tmp_path, LOG + views, 20)
    seen = {line for line in ages(split.shop, split.window(0).past) if line[1] == "jam"}
    assert seen == {("a", "jam", 0.05)}


def test_a_login_after_the_order_tells_nothing_about_what_came_before_it(tmp_path: Path) -> None:
    rows = [*LOG, {"visitor_id": "v", "product_id": "jam", "day": 5.0}]
    for login, known in ((9.0, True), (9.5, False)):
        identities = [{"visitor_id": "v", "member_id": "a", "at": on(login)}]
        split = split_of(tmp_path / str(login), rows, 20, identities=identities)
        past = split.window(0).past
        assert (("a", "jam", 4.25) in ages(split.shop, past)) is known
        assert len(past.strangers.products) == 1  # by the end it was known who that was


def test_the_held_out_orders_of_others_teach_nothing(tmp_path: Path) -> None:
    split = split_of(tmp_path, LOG, 20)
    past = split.window(0).past
    support = dict(zip(split.shop.product_ids, past.support.tolist(), strict=True))
    assert support == {"tea": 3, "milk": 2, "rye": 2, "oat": 1}


def test_the_blend_learns_the_next_order_from_the_orders_before(small_shop: Path) -> None:
    shop = load(Dataset(small_shop))
    settings = TrainingSettings(windows=2, iterations=3, factors=8)
    split = ByLastOrder(shop, END.timestamp() / 86_400, settings)
    learned = learn(split, settings)
    assert learned.recall is not None
    assert learned.recall > 0.5
    test = split.window(0)
    facts = fit_facts(test.past, settings)
    due = collect(facts, Pairs(test.truth.members[:500], test.truth.products[:500]))
    again = due.count > 0
    # the shop's staples come back after 5 to 25 days
    assert 4 < np.median(test.past.day - due.last_day[again]) < 20


def test_by_date_each_window_is_the_horizon_before_the_next(tmp_path: Path) -> None:
    shop = shop_of(tmp_path, LOG)
    split = ByDate(shop, FIRST + 9, SETTINGS.model_copy(update={"horizon_days": 3.0}))
    assert [truth(shop, split.window(level)) for level in range(4)] == [
        {"a": {"tea", "oat"}},
        {"a": {"rye"}, "b": {"milk"}},
        {"a": {"tea"}},
        {},
    ]
    assert split.window(1).past.day == FIRST + 6
    assert set(split.instants().tolist()) == {FIRST + 9}


@pytest.mark.parametrize("back", [0, 1, 5])
def test_orders_are_by_time_and_the_latest_are_found(tmp_path: Path, back: int) -> None:
    shop = shop_of(tmp_path, LOG)
    found = orders(shop.history.purchases())
    assert found.counts.tolist() == [4, 2, 1]
    assert (found.starts - FIRST).tolist() == [1, 3, 7.5, 9.25, 2, 6, 8]
    assert found.lines.tolist() == [0, 1, 1, 2, 3, 3, 4, 5, 6, 6]
    assert found.latest(back).tolist() == {0: [3, 5, 6], 1: [2, 4, 6], 5: [0, 4, 6]}[back]


def test_truth_is_what_members_with_a_past_bought_of_the_catalogue_in_the_horizon(
    tmp_path: Path,
) -> None:
    rows = [("a", "tea", 1.0), ("b", "tea", 2.0), ("c", "rare", 2.0)]
    later = [
        ("a", "tea", 10.0), ("a", "tea", 12.0), ("a", "rare", 11.0), ("b", "tea", 17.0),
        ("d", "tea", 11.0), ("c", "tea", 16.9), ("a", "milk", 12.0),
    ]  # fmt: skip
    shop = shop_of(
        tmp_path,
        [
            {"member_id": m, "product_id": p, "day": d, "order_id": f"{d}"}
            for m, p, d in rows + later
        ]
        + [{"member_id": "b", "product_id": "tea", "day": 12.0, "kind": "view"}],
    )
    past = shop.past(FIRST + 10, min_support=2)
    found = bought_pairs(shop, past, 7.0)
    named = {
        (shop.member_ids[m], shop.product_ids[p])
        for m, p in zip(found.members, found.products, strict=True)
    }
    # d has no past, rare and milk are not in the catalogue, b's purchase is a moment too late
    assert named == {("a", "tea"), ("c", "tea")}
    assert len(found.members) == len(named)


def test_a_login_after_the_horizon_makes_no_truth_in_it(tmp_path: Path) -> None:
    rows = [{"member_id": "a", "product_id": "tea", "day": 1.0}]
    rows += [{"visitor_id": "v", "product_id": "tea", "day": 11.0}]  # type: ignore[dict-item]
    for login, pairs in ((13.0, 1), (20.0, 0)):
        identities = [{"visitor_id": "v", "member_id": "a", "at": on(login)}]
        shop = shop_of(tmp_path, rows, identities=identities)
        past = shop.past(FIRST + 10, min_support=1)
        assert len(bought_pairs(shop, past, 7.0).members) == pairs
