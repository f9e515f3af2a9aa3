from dataclasses import fields
from math import exp
from pathlib import Path

import numpy as np
import pytest

from recsys import features
from recsys.dataset import Dataset
from recsys.features import Evidence
from recsys.history import KINDS
from tests.small_shop import END
from tests.training.logs import FIRST, on, shop_of
from training.config import TrainingSettings
from training.evidence import (
    Facts,
    Pairs,
    candidate_pairs,
    collect,
    member_columns,
    of_nobody,
    of_one_order,
    order_numbers,
)
from training.ranker import fit_facts
from training.shop import load

DAY = 40.0
LOG = [
    ("a", "tea", 10.5, "1"), ("a", "milk", 10.5, "1"), ("a", "tea", 30.0, "2"),
    ("b", "tea", 38.0, "3"), ("b", "rye", 38.0, "3"), ("b", "milk", 39.0, "4"),
    ("c", "rye", 5.0, "5"),
]  # fmt: skip
CATALOGUE = [
    {"product_id": "tea", "category": "DRINKS > HOT > TEA", "brand": "x"},
    {"product_id": "milk", "category": "DRINKS > COLD > MILK", "brand": "y"},
    {"product_id": "rye", "category": "BREAD", "brand": "x"},
]


# a shop whose members browse; without that there are no sessions
BROWSING = [
    {"member_id": "d", "product_id": f"seen {n}", "day": 39.0 - n / 100, "kind": "view"}
    for n in range(TrainingSettings().browsing_needed)
]


@pytest.fixture
def hand_made(tmp_path: Path) -> tuple[Facts, list[str]]:
    rows = [
        {"member_id": member, "product_id": product, "day": day, "order_id": order}
        for member, product, day, order in LOG
    ]
    rows.append({"member_id": "c", "product_id": "tea", "day": 39.0, "kind": "view"})
    rows.append({"member_id": "c", "product_id": "milk", "day": 39.9, "kind": "add_to_cart"})
    rows += BROWSING
    promotions = [{"product_id": "rye", "starts_at": on(35), "ends_at": on(45), "share": 0.4}]
    shop = shop_of(tmp_path, rows, products=CATALOGUE, promotions=promotions)
    settings = TrainingSettings(factors=4, browsing_needed=1)
    return fit_facts(shop.past(FIRST + DAY, min_support=1), settings), shop.product_ids


@pytest.fixture(scope="module")
def facts(small_shop: Path) -> Facts:
    past = load(Dataset(small_shop)).past(END.timestamp() / 86_400, min_support=5)
    return fit_facts(past, TrainingSettings())


def told(hand_made: tuple[Facts, list[str]], member: int, product: str) -> dict[str, float]:
    facts, products = hand_made
    pair = Pairs(np.array([member], np.int32), np.array([products.index(product)], np.int32))
    collected = collect(facts, pair)
    return {field.name: float(getattr(collected, field.name)[0]) for field in fields(Evidence)}


def test_a_bought_pair_is_told_as_a_pencil_tells_it(hand_made: tuple[Facts, list[str]]) -> None:
    found = told(hand_made, 0, "tea")
    assert found["count"] == 2
    for days in (20, 60, 180):
        expected = exp(-29.5 / days) + exp(-10 / days)
        assert found[f"decayed_{days}"] == pytest.approx(expected, rel=1e-5)
    assert found["last_day"] == FIRST + 30
    # one gap of 19.5 days in the whole shop is its usual interval
    assert found["product_interval"] == pytest.approx(19.5)
    assert found["interval"] == pytest.approx((19.5 + 19.5) / 2)
    # of 2 buyers of tea one came back; over all products 1 of 6 pairs did
    assert found["rebought"] == pytest.approx((1 + 2 / 6) / (2 + 2))
    assert (found["popular_30"], found["popular_7"]) == (3, 1)
    assert found["member_orders"] == 2
    assert found["member_days"] == pytest.approx(29.5)
    assert found["member_idle"] == pytest.approx(10)
    assert found["promoted"] == 0


def test_a_new_pair_is_told_by_its_category_brand_and_shop(
    hand_made: tuple[Facts, list[str]],
) -> None:
    found = told(hand_made, 0, "rye")
    assert found["count"] == found["decayed_60"] == found["category_leaf"] == 0
    assert found["brand"] == pytest.approx(exp(-29.5 / 60) + exp(-10 / 60), rel=1e-5)
    assert found["promoted"] == pytest.approx(0.4)
    assert found["leaf_orders"] == found["popular_30"] == 1
    assert found["interval"] == found["product_interval"]
    drinks = told(hand_made, 1, "milk")["category_root"]
    assert drinks == pytest.approx(exp(-2 / 60) + exp(-1 / 60), rel=1e-5)


def test_the_session_is_the_latest_events_by_kind_and_age(
    hand_made: tuple[Facts, list[str]],
) -> None:
    facts, products = hand_made
    similarity = facts.sources.together.similarity.toarray()
    tea, milk, rye = (products.index(name) for name in ("tea", "milk", "rye"))
    weight = dict(zip(KINDS, features.KIND_WEIGHTS.tolist(), strict=False))
    expected = (
        weight["view"] * exp(-1) * similarity[tea, rye]
        + weight["add_to_cart"] * exp(-0.1) * similarity[milk, rye]
    )
    assert expected > 0
    found = told(hand_made, 2, "rye")["session"]
    assert found == pytest.approx(expected, rel=1e-4)


def test_interest_in_a_category_is_what_was_browsed_of_it(
    hand_made: tuple[Facts, list[str]],
) -> None:
    facts, products = hand_made
    assert facts.sessions is not None
    events = facts.sessions[2]
    for name in products:
        leaf = facts.past.categories[0]
        alike = leaf[events.indices] == leaf[products.index(name)]
        expected = events.data[alike].sum() if leaf[products.index(name)] >= 0 else 0
        assert told(hand_made, 2, name)["session_leaf"] == pytest.approx(expected, rel=1e-4)


def test_a_session_is_the_latest_twenty_events(tmp_path: Path) -> None:
    order = [{"member_id": "b", "product_id": p, "day": 1.0, "order_id": "1"} for p in ("x", "y")]
    first = {"member_id": "a", "product_id": "x", "day": 39.0, "kind": "view"}
    others = [
        {"member_id": "a", "product_id": f"z{number}", "day": 39.5, "kind": "view"}
        for number in range(20)
    ]
    found = []
    for size in (19, 20):
        shop = shop_of(tmp_path, [*order, first, *others[:size], *BROWSING])
        facts = fit_facts(
            shop.past(FIRST + DAY, min_support=1), TrainingSettings(factors=2, browsing_needed=1)
        )
        found.append(told((facts, shop.product_ids), 0, "y")["session"])
    assert found[0] > 0
    assert found[1] == 0


def test_collecting_in_chunks_is_collecting_at_once(facts: Facts) -> None:
    members = np.arange(0, 40, dtype=np.int32)
    pairs = candidate_pairs(facts, members)
    whole = collect(facts, pairs)
    low, high = pairs.members < 17, pairs.members >= 17
    for part in (low, high):
        alone = collect(facts, Pairs(pairs.members[part], pairs.products[part]))
        for field in fields(Evidence):
            np.testing.assert_array_equal(
                getattr(alone, field.name), getattr(whole, field.name)[part], err_msg=field.name
            )


def test_candidate_pairs_are_the_union_by_member_then_product(facts: Facts) -> None:
    members = np.array([3, 9, 120], np.int32)
    pairs = candidate_pairs(facts, members)
    keys = pairs.members.astype(np.int64) * facts.past.n_products + pairs.products
    assert (np.diff(keys) > 0).all()
    expected = set()
    for _, source in facts.sources.named():
        for member in members.tolist():
            found = source.candidates(np.array([member], np.int32))
            expected |= {(member, product) for product in found.products.tolist()}
    assert set(zip(pairs.members.tolist(), pairs.products.tolist(), strict=True)) == expected


def test_evidence_is_finite_and_the_features_too(facts: Facts) -> None:
    pairs = candidate_pairs(facts, np.arange(200, dtype=np.int32))
    collected = collect(facts, pairs)
    for field in fields(Evidence):
        assert np.isfinite(getattr(collected, field.name)).all(), field.name
    assert np.isfinite(features.features(collected, facts.past.day)).all()


def test_nobody_is_a_new_member_with_the_usual_pace(facts: Facts) -> None:
    nobody = of_nobody(facts)
    assert (nobody.count == 0).all()
    assert len(nobody.taste) == facts.past.n_products
    products = np.arange(facts.past.n_products, dtype=np.int32)
    somebody = collect(facts, Pairs(np.zeros_like(products), products))
    same = ("rebought", "product_interval", "popular_30", "leaf_orders", "promoted")
    for name in same:
        np.testing.assert_array_equal(getattr(nobody, name), getattr(somebody, name))
    orders = np.median(order_numbers(facts.past.purchases))
    assert (nobody.member_orders == orders).all()


def test_what_a_member_adds_is_what_the_features_say(facts: Facts) -> None:
    pairs = Pairs(np.arange(200, dtype=np.int32), np.zeros(200, np.int32))
    table = features.static(collect(facts, pairs))
    columns = [features.STATIC.index(name) for name in features.MEMBER]
    np.testing.assert_allclose(member_columns(facts), table[:, columns], rtol=1e-6)


def test_one_order_is_what_a_member_with_one_order_brings(tmp_path: Path) -> None:
    rows = [
        {"member_id": member, "product_id": product, "day": day, "order_id": f"{member} {day}"}
        for member, product, day in [
            ("a", "tea", 10.0), ("a", "tea", 20.0), ("b", "milk", 12.0), ("b", "rye", 30.0),
            ("once", "tea", DAY - 1e-6), ("once", "tea", DAY - 1e-6),
        ]
    ]  # fmt: skip
    shop = shop_of(tmp_path, rows, products=CATALOGUE)
    facts = fit_facts(shop.past(FIRST + DAY, min_support=1), TrainingSettings(factors=2))
    tea, member = shop.product_ids.index("tea"), shop.member_ids.index("once")
    expected = told((facts, shop.product_ids), member, "tea")
    found = of_one_order(facts)
    theirs = {"member_orders", "member_days", "member_idle", "last_day", "segment", "taste",
              "similar", "neighbours", "together", "together_latest"}  # fmt: skip
    for field in fields(Evidence):
        if field.name not in theirs:
            given = float(getattr(found, field.name)[tea])
            assert given == pytest.approx(expected[field.name], abs=1e-4), field.name


def test_orders_are_counted_once_however_many_products_they_hold(
    hand_made: tuple[Facts, list[str]],
) -> None:
    facts, _ = hand_made
    assert order_numbers(facts.past.purchases).tolist() == [2, 2, 1, 0]


def test_a_shop_without_browsing_has_no_sessions(facts: Facts) -> None:
    pairs = candidate_pairs(facts, np.arange(50, dtype=np.int32))
    collected = collect(facts, pairs)
    assert (collected.session == 0).all()
    assert (collected.session_leaf == 0).all()
