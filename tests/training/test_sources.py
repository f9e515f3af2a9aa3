from math import exp, log, log1p, sqrt
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.dataset import Dataset
from tests.small_shop import END, MEMBERS, NEVER_BOUGHT
from tests.training.logs import FIRST, on, shop_of
from training.config import TrainingSettings
from training.shop import Past, load
from training.sources import fit_all, own, popular, segment, taste, together
from training.sparse import top_of_rows

DAY = 40.0
"""the as-of day of the hand-made log"""
LOG = [
    ("a", "tea", 9.0, "1"), ("a", "tea", 30.0, "2"), ("a", "milk", 30.0, "2"),
    ("b", "tea", 31.0, "3"), ("b", "milk", 31.0, "3"), ("b", "rye", 31.0, "3"),
    (None, "tea", 35.0, "4"), (None, "rye", 35.0, "4"),
    ("a", "milk", 39.0, "5"),
    ("c", "salt", 39.5, "6"),
]  # fmt: skip


@pytest.fixture
def hand_made(tmp_path: Path) -> tuple[Past, list[str]]:
    rows = [
        {"member_id": member, "product_id": product, "day": day, "order_id": order}
        for member, product, day, order in LOG
    ]
    # what happens on the as-of day and later is not in any count below
    rows += [
        {"member_id": "a", "product_id": "rye", "day": day, "order_id": "7"} for day in (DAY, 45)
    ]
    shop = shop_of(tmp_path, rows)
    return shop.past(FIRST + DAY, min_support=2), shop.product_ids


@pytest.fixture(scope="module")
def past(small_shop: Path) -> Past:
    return load(Dataset(small_shop)).past(END.timestamp() / 86_400, min_support=5)


def named(values: np.ndarray, products: list[str]) -> dict[str, float]:
    return {name: float(value) for name, value in zip(products, values, strict=True) if value}


def test_popular_counts_everybodys_orders_in_the_window(
    hand_made: tuple[Past, list[str]],
) -> None:
    found, products = hand_made
    assert named(popular.order_counts(found, days=30), products) == {
        "tea": 3, "milk": 3, "rye": 2, "salt": 1,
    }  # fmt: skip
    # the window reaches back to its first instant
    assert named(popular.order_counts(found, days=9), products) == {
        "tea": 2, "milk": 2, "rye": 2, "salt": 1,
    }  # fmt: skip
    assert popular.order_counts(found, days=31)[products.index("tea")] == 4


def test_popular_proposes_the_most_ordered_of_the_catalogue_to_everybody(
    hand_made: tuple[Past, list[str]],
) -> None:
    found, products = hand_made
    source = popular.fit(found, size=2)
    assert [products[at] for at in source.top] == ["milk", "tea"]
    assert [products[at] for at in popular.fit(found).top] == ["milk", "tea", "rye"]
    rows = np.array([0, 2], np.int32)
    assert source.candidates(rows).products.tolist() == source.top.tolist() * 2
    scores = source.scores(rows, np.array([products.index("rye")] * 2, np.int32))
    assert scores.tolist() == pytest.approx([log1p(2)] * 2)


def test_own_purchases_fade_with_sixty_days(hand_made: tuple[Past, list[str]]) -> None:
    found, products = hand_made
    source = own.fit(found)
    a, tea, milk, rye = (0, *(products.index(name) for name in ("tea", "milk", "rye")))
    scores = source.scores(np.array([a, a, a], np.int32), np.array([tea, milk, rye], np.int32))
    assert scores.tolist() == pytest.approx(
        [exp(-31 / 60) + exp(-10 / 60), exp(-10 / 60) + exp(-1 / 60), 0], rel=1e-5
    )


def test_own_proposes_what_the_member_bought_of_the_catalogue(
    hand_made: tuple[Past, list[str]],
) -> None:
    found, products = hand_made
    lists = own.fit(found).candidates(np.arange(3, dtype=np.int32))
    assert [
        {products[at] for at in lists.products[start:stop]}
        for start, stop in zip(lists.offsets, lists.offsets[1:], strict=False)
    ] == [{"tea", "milk"}, {"tea", "milk", "rye"}, set()]  # salt stands in one order only


def test_together_is_the_cosine_over_orders_of_members_and_strangers(
    hand_made: tuple[Past, list[str]],
) -> None:
    found, products = hand_made
    matrix = together.similarity(found, neighbours=10).toarray()
    # orders with: tea 1 2 3 4, milk 2 3 5, rye 3 4
    expected = {
        ("tea", "milk"): 2 / sqrt(4 * 3),
        ("tea", "rye"): 2 / sqrt(4 * 2),
        ("milk", "rye"): 1 / sqrt(3 * 2),
    }
    for (one, other), cosine in expected.items():
        at = products.index(one), products.index(other)
        assert matrix[at] == pytest.approx(cosine, rel=1e-5)
        assert matrix[at[::-1]] == pytest.approx(cosine, rel=1e-5)
    assert np.count_nonzero(matrix) == 6


def test_together_scores_what_the_members_past_points_at(
    hand_made: tuple[Past, list[str]],
) -> None:
    found, products = hand_made
    source = together.fit(found)
    rye = np.array([products.index("rye")], np.int32)
    tea_orders, milk_orders = exp(-31 / 60) + exp(-10 / 60), exp(-10 / 60) + exp(-1 / 60)
    assert source.scores(np.array([0], np.int32), rye)[0] == pytest.approx(
        tea_orders * 2 / sqrt(8) + milk_orders / sqrt(6), rel=1e-5
    )


def test_together_keeps_the_nearest(past: Past) -> None:
    all_of_them = together.similarity(past, neighbours=60).toarray()
    few = together.similarity(past, neighbours=3).toarray()
    for row in range(past.n_products):
        kept = np.flatnonzero(few[row])
        assert len(kept) == min(3, np.count_nonzero(all_of_them[row]))
        np.testing.assert_allclose(
            np.sort(few[row, kept]), np.sort(all_of_them[row])[::-1][: len(kept)][::-1], rtol=1e-6
        )


def test_taste_finds_products_of_members_alike(past: Past) -> None:
    source = taste.fit(past, seed=1, factors=16)
    bought = np.zeros((past.n_members, past.n_products), bool)
    bought[past.repeats.members(), past.repeats.products] = True
    members, products = np.nonzero(np.ones_like(bought))
    scores = source.scores(members.astype(np.int32), products.astype(np.int32))
    scores = scores.reshape(bought.shape)
    assert scores[bought].mean() > 1.5 * scores[~bought].mean()


@pytest.mark.parametrize("name", ["popular", "own", "together", "similar", "neighbours", "taste"])
def test_candidates_are_of_the_catalogue_and_distinct_for_each_member(
    past: Past, name: str
) -> None:
    assert not past.catalogue.all()
    source = getattr(fit_all(past, TrainingSettings(candidates=20)), name)
    asked = np.array([0, 5, 6, 199], np.int32)
    found = source.candidates(asked)
    assert len(found.offsets) == len(asked) + 1
    assert found.offsets[0] == 0
    assert found.offsets[-1] == len(found.products) > 0
    assert past.catalogue[found.products].all()
    pairs = set(zip(found.owners().tolist(), found.products.tolist(), strict=True))
    assert len(pairs) == len(found.products)
    if name != "own":
        assert np.diff(found.offsets).max() <= 20


def test_sources_answer_for_a_member_as_among_others(past: Past) -> None:
    for _, source in fit_all(past, TrainingSettings()).named():
        together_found = source.candidates(np.arange(len(MEMBERS), dtype=np.int32))
        alone = source.candidates(np.array([7], np.int32))
        start, stop = together_found.offsets[7:9]
        assert set(alone.products) == set(together_found.products[start:stop])


def test_no_sentinel_leaves_the_taste_source(tmp_path: Path) -> None:
    # one member has bought the whole catalogue: implicit would pad with -1 and -3.4e38
    rows = [
        {"member_id": member, "product_id": product, "day": float(number), "order_id": f"{number}"}
        for number, (member, product) in enumerate(
            [("a", "tea"), ("a", "milk"), ("b", "tea"), ("b", "milk"), ("c", "salt")]
        )
    ]
    shop = shop_of(tmp_path, rows)
    found = shop.past(FIRST + 9, min_support=2)
    source = taste.fit(found, seed=1, size=50)
    lists = source.candidates(np.arange(3, dtype=np.int32))
    assert set(lists.products.tolist()) <= set(np.flatnonzero(found.catalogue).tolist())
    members = np.repeat(np.arange(3, dtype=np.int32), found.n_products)
    scores = source.scores(members, np.tile(np.arange(found.n_products, dtype=np.int32), 3))
    assert np.isfinite(scores).all()
    assert np.abs(scores).max() < 10
    assert (scores[members == 2] == 0).all()  # who bought nothing of the catalogue has no taste


@settings(deadline=None)  # the first call compiles
@given(
    st.lists(st.lists(st.sampled_from([-1.0, 0.0, 1.0, 2.0]), min_size=4, max_size=4), max_size=5),
    st.integers(1, 6),
)
def test_the_top_of_rows_is_their_largest_positive_cells(
    rows: list[list[float]], most: int
) -> None:
    block = np.array(rows, np.float32).reshape(len(rows), 4)
    offsets, columns = top_of_rows(block, most)
    for row in range(len(rows)):
        kept = columns[offsets[row] : offsets[row + 1]]
        positive = sorted((value for value in rows[row] if value > 0), reverse=True)[:most]
        assert sorted(block[row, kept].tolist(), reverse=True) == positive


def test_a_product_that_nobody_bought_is_proposed_to_nobody(past: Past, small_shop: Path) -> None:
    never = load(Dataset(small_shop)).product_ids.index(NEVER_BOUGHT)
    members = np.arange(len(MEMBERS), dtype=np.int32)
    for _, source in fit_all(past, TrainingSettings()).named():
        assert never not in source.candidates(members).products


def test_the_log_ends_before_the_as_of_day(hand_made: tuple[Past, list[str]]) -> None:
    found, _ = hand_made
    assert found.day == on(DAY).timestamp() / 86_400
    assert found.history.days.max() < found.day


def test_a_segment_speaks_for_its_members_alone(tmp_path: Path) -> None:
    rows = [
        {"member_id": who, "product_id": product, "day": float(day), "order_id": f"{who}{day}"}
        for who, product in (("a", "tea"), ("b", "tea"), ("c", "salt"), ("d", "salt"), ("e", "tea"))
        for day in range(30, 36)
    ]
    members = [
        {"member_id": who, "region": region} for who, region in zip("abcd", "nnss", strict=True)
    ]
    shop = shop_of(tmp_path, rows, members=members)
    found = shop.past(FIRST + 36, min_support=1)
    source = segment.fit(found, size=5)
    tea, salt = shop.product_ids.index("tea"), shop.product_ids.index("salt")
    everyone = np.arange(5, dtype=np.int32)
    lists = source.candidates(everyone)
    theirs = np.split(lists.products, lists.offsets[1:-1])
    assert [one.tolist() for one in theirs] == [[tea], [tea], [salt], [salt], []]
    of_tea = source.lift(everyone, np.full(5, tea, np.int32))
    # 12 of 12 lines are tea in the north, 0 of 12 in the south; 19 of 32 with one more of each
    north = log((12 / (19 / 32) + 1_000) / (12 + 1_000))
    south = log(1_000 / (12 + 1_000))
    assert of_tea == pytest.approx([north, north, south, south, 0])
    shares = source.scores(everyone, np.full(5, salt, np.int32))
    assert shares[2] > shares[0] > shares[4] == 0


def test_what_the_latest_orders_point_at_is_told_apart(past: Past) -> None:
    fitted = together.fit(past)
    latest = together.from_latest(past, fitted)
    assert latest.similarity is fitted.similarity
    repeats = past.repeats
    expected = np.zeros((past.n_members, past.n_products), np.float32)
    expected[repeats.members(), repeats.products] = repeats.latest(together.LATEST_ORDERS)
    assert (latest.past.toarray() == expected).all()
