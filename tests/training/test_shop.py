from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from recsys.dataset import Dataset
from recsys.errors import DataError
from recsys.history import KINDS
from tests.small_shop import END
from tests.training.logs import FIRST, dataset_of, on, shop_of
from training.shop import Shop, load
from training.sparse import (
    cells,
    locate,
    product_cells,
    rows_of,
    top_cells,
    top_of_product,
)


def lines(shop: Shop, day: float) -> set[tuple[str, str, str, float]]:
    """member, product, kind, day of what is known before a day; strangers are '?'."""
    past = shop.past(FIRST + day, min_support=1)
    rows = [
        (shop.member_ids[member], product, kind, at)
        for member, product, kind, at in zip(
            past.history.members, past.history.products, past.history.kinds, past.history.days,
            strict=True,
        )
    ] + [("?", *row) for row in zip(past.strangers.products, past.strangers.kinds,
                                    past.strangers.days, strict=True)]  # fmt: skip
    return {
        (member, shop.product_ids[product], KINDS[kind], round(float(at) - FIRST, 6))
        for member, product, kind, at in rows
    }


def test_a_past_holds_what_had_happened_and_a_line_a_product_of_an_order(tmp_path: Path) -> None:
    shop = shop_of(
        tmp_path,
        [
            {"day": 1.0, "member_id": "a", "product_id": "tea", "order_id": "1", "amount": 2.0},
            {"day": 1.1, "member_id": "a", "product_id": "tea", "order_id": "1", "amount": 3.0},
            {"day": 1.0, "member_id": "a", "product_id": "milk", "order_id": "1", "amount": 1.0},
            {"day": 2.0, "member_id": "b", "product_id": "tea", "order_id": "2", "amount": 2.0},
            {"day": 2.5, "product_id": "tea", "order_id": "3", "amount": 2.0},
            {"day": 3.0, "member_id": "a", "product_id": "tea", "kind": "view"},
        ],
    )
    assert lines(shop, 2.0) == {("a", "tea", "purchase", 1.0), ("a", "milk", "purchase", 1.0)}
    assert lines(shop, 9.0) - lines(shop, 2.0) == {
        ("b", "tea", "purchase", 2.0), ("?", "tea", "purchase", 2.5), ("a", "tea", "view", 3.0),
    }  # fmt: skip
    past = shop.past(FIRST + 9, min_support=2)
    assert sorted(past.purchases.amounts.tolist()) == [1.0, 2.0, 5.0]
    assert past.purchases.orders[0] == past.purchases.orders[1]
    support = dict(zip(shop.product_ids, past.support.tolist(), strict=True))
    assert support == {"milk": 1, "tea": 3}
    assert past.catalogue.tolist() == [False, True]


def test_purchases_without_an_order_are_one_order_a_member_and_day(tmp_path: Path) -> None:
    shop = shop_of(
        tmp_path,
        [
            {"day": 1.1, "member_id": "a", "product_id": "tea"},
            {"day": 1.9, "member_id": "a", "product_id": "milk"},
            {"day": 2.1, "member_id": "a", "product_id": "milk"},
            {"day": 1.2, "member_id": None, "product_id": "tea"},
            {"day": 1.2, "member_id": None, "product_id": "milk"},
        ],
    )
    past = shop.past(FIRST + 9, min_support=1)
    same = past.purchases.orders
    assert same[0] == same[1] != same[2]
    assert len({*same.tolist(), *past.strangers.orders.tolist()}) == 4


def test_an_order_that_goes_on_after_midnight_says_nothing_early(tmp_path: Path) -> None:
    whole = [
        {"day": 1.99, "member_id": "a", "product_id": "tea", "order_id": "1", "amount": 2.0},
        {"day": 2.01, "member_id": "a", "product_id": "tea", "order_id": "1", "amount": 8.0},
    ]
    past = shop_of(tmp_path, whole).past(FIRST + 2, min_support=1)
    assert past.purchases.amounts.tolist() == [2.0]


def test_a_return_is_no_purchase(tmp_path: Path) -> None:
    shop = shop_of(
        tmp_path,
        [
            {"day": 1.0, "member_id": "a", "product_id": "tea", "quantity": 1.0},
            {"day": 2.0, "member_id": "a", "product_id": "milk", "kind": "return", "quantity": 1.0},
        ],
    )
    past = shop.past(FIRST + 9, min_support=1)
    assert [shop.product_ids[at] for at in past.purchases.products] == ["tea"]
    assert len(past.history.products) == 2


VISIT = {"day": 1.0, "visitor_id": "v", "member_id": None, "product_id": "tea"}
PURCHASE = {"day": 5.5, "visitor_id": None, "member_id": "a", "product_id": "milk"}


def test_a_visitors_events_become_the_members_only_when_they_log_in(tmp_path: Path) -> None:
    shop = shop_of(
        tmp_path, [VISIT, PURCHASE],
        identities=[{"visitor_id": "v", "member_id": "a", "at": on(3)}],
    )  # fmt: skip
    assert lines(shop, 3.0) == {("?", "tea", "purchase", 1.0)}
    assert lines(shop, 3.1) == {("a", "tea", "purchase", 1.0)}
    assert lines(shop, 9.0) == {("a", "tea", "purchase", 1.0), ("a", "milk", "purchase", 5.5)}


def test_a_shared_device_belongs_to_who_logged_in_last(tmp_path: Path) -> None:
    visits = [VISIT | {"day": day} for day in (1.0, 4.0, 6.0)]
    shop = shop_of(
        tmp_path, [*visits, PURCHASE],
        identities=[
            {"visitor_id": "v", "member_id": "b", "at": on(5)},
            {"visitor_id": "v", "member_id": "a", "at": on(3)},
        ],
    )  # fmt: skip
    assert lines(shop, 9.0) == {
        ("a", "tea", "purchase", 1.0), ("a", "tea", "purchase", 4.0), ("b", "tea", "purchase", 6.0),
        ("a", "milk", "purchase", 5.5),
    }  # fmt: skip
    assert ("b", "tea", "purchase", 4.0) not in lines(shop, 5.2)


def test_what_a_member_did_stays_theirs_whoever_used_the_device(tmp_path: Path) -> None:
    visit = VISIT | {"member_id": "a"}
    login = {"visitor_id": "v", "member_id": "b", "at": on(0.5)}
    assert lines(shop_of(tmp_path, [visit], identities=[login]), 9) == {
        ("a", "tea", "purchase", 1.0)
    }


ONE = [{"day": 1.0, "member_id": "a", "product_id": "tea"}]


def category_at(shop: Shop, day: float) -> list[int]:
    past = shop.past(FIRST + day, min_support=1)
    return [*past.categories[:, shop.product_ids.index("tea")].tolist(),
            int(past.brands[shop.product_ids.index("tea")])]  # fmt: skip


def test_a_category_counts_from_its_day_on_and_a_null_says_nothing(tmp_path: Path) -> None:
    row = {"product_id": "tea", "category": "A > B > C", "brand": "x", "valid_from": None}
    shop = shop_of(
        tmp_path, ONE,
        products=[
            row,
            row | {"valid_from": on(2), "category": None, "brand": "y"},
            row | {"valid_from": on(4), "category": "A > B > D", "brand": None},
        ],
    )  # fmt: skip
    days = [category_at(shop, day) for day in (1, 2, 3, 4, 5)]
    assert days == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 0, 1], [0, 0, 0, 1], [1, 0, 0, 1]]


def test_categories_are_coded_from_the_leaf_up(tmp_path: Path) -> None:
    paths = {"p": "A > B > C", "q": "A > B > D", "r": "A", "s": "E > B > C", "tea": None}
    shop = shop_of(
        tmp_path, ONE, products=[{"product_id": p, "category": c} for p, c in paths.items()]
    )
    leaf, parent, root = shop.past(FIRST + 9, min_support=1).categories.tolist()
    assert leaf == [1, 2, 0, 3, -1]
    assert parent == [1, 1, 0, 2, -1]
    assert root == [0, 0, 0, 1, -1]


def test_a_promotion_counts_where_it_was_known_and_runs(tmp_path: Path) -> None:
    shop = shop_of(
        tmp_path, ONE,
        promotions=[
            {"product_id": "tea", "starts_at": on(2), "ends_at": on(4), "share": 0.5,
             "known_from": None},
            {"product_id": "tea", "starts_at": on(1), "ends_at": on(9), "share": 0.7,
             "known_from": on(3)},
        ],
    )  # fmt: skip
    found = [float(shop.past(FIRST + day, min_support=1).promoted[0]) for day in (1, 2, 3, 3.5, 5)]
    # known when it started, so not yet at that very instant
    assert found == pytest.approx([0, 0, 0.5, 0.7, 0.7])


def test_loading_before_an_instant_leaves_out_ids_that_nobody_knew(tmp_path: Path) -> None:
    later = {"day": 5.0, "member_id": "z", "product_id": "salt"}
    data = dataset_of(
        tmp_path, [*ONE, later],
        members=[{"member_id": "a", "valid_from": None}, {"member_id": "y", "valid_from": on(6)}],
        products=[{"product_id": "rye", "valid_from": None},
                  {"product_id": "oat", "valid_from": on(6)}],
    )  # fmt: skip
    early, late = load(data, before=on(5)), load(data)
    assert (early.member_ids, early.product_ids) == (["a"], ["rye", "tea"])
    assert (late.member_ids, late.product_ids) == (["a", "y", "z"], ["oat", "rye", "salt", "tea"])


def test_a_shop_without_events_says_what_to_do(tmp_path: Path) -> None:
    searches = [{"day": 1.0, "member_id": "a", "product_id": None, "kind": "search"}]
    with pytest.raises(DataError, match="no event names a product"):
        shop_of(tmp_path, searches)
    with pytest.raises(DataError, match="before 2025-01-02"):
        load(dataset_of(tmp_path, ONE), before=on(1))


def test_order_numbers_do_not_depend_on_what_the_process_read_before(small_shop: Path) -> None:
    kept = pl.Series(["m199-1", "m000-1"]).cast(pl.Categorical)  # interned for the whole process
    once = load(Dataset(small_shop), before=END).history.orders
    assert len(kept) == 2
    assert once.tolist() == load(Dataset(small_shop)).history.orders.tolist()


# Look-ups in sparse tables, against dictionaries.

CELLS = st.dictionaries(
    st.tuples(st.integers(0, 5), st.integers(0, 6)), st.floats(-4, 4, width=32), max_size=25
)
WANTED = st.lists(st.tuples(st.integers(0, 5), st.integers(-1, 8)), max_size=20)


def matrix_of(values: dict[tuple[int, int], float]) -> csr_matrix:
    keys = np.array(sorted(values), np.int64).reshape(len(values), 2)
    data = np.array([values[row, column] for row, column in keys.tolist()], np.float32)
    offsets = np.searchsorted(keys[:, 0], np.arange(7))
    return csr_matrix((data, keys[:, 1], offsets), shape=(6, 7))


@settings(deadline=None)
@given(CELLS, WANTED)
def test_cells_are_looked_up_as_in_a_dictionary(
    values: dict[tuple[int, int], float], wanted: list[tuple[int, int]]
) -> None:
    rows = np.array([row for row, _ in wanted], np.int32)
    columns = np.array([column for _, column in wanted], np.int32)
    matrix = matrix_of(values)
    assert cells(matrix, rows, columns).tolist() == [values.get(pair, 0.0) for pair in wanted]
    at, found = locate(matrix.indptr, matrix.indices, rows, columns)
    assert found.tolist() == [pair in values for pair in wanted]
    for place, pair in zip(at[found], (pair for pair in wanted if pair in values), strict=True):
        assert matrix.data[place] == np.float32(values[pair])


@settings(deadline=None)
@given(CELLS, st.integers(1, 8))
def test_top_cells_are_each_rows_largest(values: dict[tuple[int, int], float], most: int) -> None:
    found = top_cells(matrix_of(values), most)
    for row in range(6):
        cut = slice(found.indptr[row], found.indptr[row + 1])
        theirs = sorted((v for (r, _), v in values.items() if r == row), reverse=True)[:most]
        assert sorted(found.data[cut].tolist(), reverse=True) == theirs
        columns = found.indices[cut].tolist()
        assert len(set(columns)) == len(columns)
        assert [values[row, column] for column in columns] == found.data[cut].tolist()


WHOLE_CELLS = st.dictionaries(
    st.tuples(st.integers(0, 5), st.integers(0, 5)), st.integers(-4, 4), max_size=25
)


@settings(deadline=None)  # the first call compiles
@given(WHOLE_CELLS, WHOLE_CELLS, st.integers(1, 8))
def test_a_product_of_tables_is_known_by_its_cells(
    one: dict[tuple[int, int], int], other: dict[tuple[int, int], int], most: int
) -> None:
    left, right = matrix_of(one)[:, :6], matrix_of(other)
    whole = left.toarray() @ right.toarray()
    rows, columns = np.indices(whole.shape).reshape(2, -1)
    assert np.allclose(product_cells(left, right, rows, columns), whole.ravel())
    found = top_of_product(left, right, most)
    assert found.has_sorted_indices
    for row in range(6):
        theirs = np.sort(whole[row][whole[row] > 0])[::-1][:most]
        kept = found[row]
        assert np.allclose(np.sort(kept.data)[::-1], theirs)
        assert np.allclose(kept.data, whole[row, kept.indices])


@given(st.lists(st.integers(0, 3), min_size=1, max_size=6), st.data())
def test_rows_of_an_offset_table_come_in_the_order_asked(
    counts: list[int], data: st.DataObject
) -> None:
    offsets = np.concatenate(([0], np.cumsum(counts)))
    asked = data.draw(st.lists(st.integers(0, len(counts) - 1), max_size=6))
    entries, owners = rows_of(offsets, np.array(asked, np.int64))
    expected = [(at, row) for at, row in enumerate(asked) for _ in range(counts[row])]
    assert owners.tolist() == [at for at, _ in expected]
    assert entries.tolist() == [
        entry for row in asked for entry in range(offsets[row], offsets[row + 1])
    ]
