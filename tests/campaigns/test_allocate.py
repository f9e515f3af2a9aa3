from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.allocate import Limits, allocate

BIG = 2**62


def run(value, cost, *, budget=BIG, sends=BIG, coupons=None, held=None, ties=None):
    value = np.array(value, np.float64).reshape(len(value), len(cost))
    limits = Limits(budget, sends, np.array(coupons or [BIG] * len(cost), np.int64))
    members = len(value)
    return allocate(
        value,
        np.array(cost, np.int64),
        limits=limits,
        held_out=np.array(held or [False] * members, np.bool_),
        ties=np.array(ties if ties is not None else range(members), np.uint64),
    )


@st.composite
def instances(draw):
    members, coupons = draw(st.integers(0, 8)), draw(st.integers(1, 4))
    numbers = st.one_of(st.just(float("-inf")), st.integers(-2, 9).map(float))
    value = [[draw(numbers) for _ in range(coupons)] for _ in range(members)]
    return {
        "value": value,
        "cost": [draw(st.integers(0, 5)) for _ in range(coupons)],
        "budget": draw(st.integers(0, 20)),
        "sends": draw(st.integers(0, 9)),
        "coupons": [draw(st.integers(0, 4)) for _ in range(coupons)],
        "held": [draw(st.booleans()) for _ in range(members)],
        "ties": draw(st.permutations(range(members))),
    }


@given(instances())
def test_no_limit_is_broken_and_nobody_gets_what_is_not_worth_it(instance):
    result = run(**instance)
    cost, held = np.array(instance["cost"]), np.array(instance["held"], bool)
    value = np.array(instance["value"], np.float64).reshape(-1, len(cost))
    given_to = np.flatnonzero((result.coupon >= 0) & ~held)
    chosen = result.coupon[given_to]
    assert (value[given_to, chosen] > 0).all()
    assert cost[chosen].sum() <= instance["budget"]
    assert len(given_to) <= instance["sends"]
    counts = np.bincount(chosen, minlength=len(cost))
    assert (counts <= instance["coupons"]).all()
    for member, reason in enumerate(result.reason):
        assert (reason == "push") == (result.coupon[member] >= 0)
        assert (reason == "no_offer_worth_it") == (not (value[member] > 0).any())


@given(instances())
def test_who_goes_without_could_not_have_been_served_from_what_is_left(instance):
    result = run(**instance)
    cost, held = np.array(instance["cost"]), np.array(instance["held"], bool)
    value = np.array(instance["value"], np.float64).reshape(-1, len(cost))
    chosen = result.coupon[(result.coupon >= 0) & ~held]
    left = np.array(instance["coupons"]) - np.bincount(chosen, minlength=len(cost))
    budget = instance["budget"] - cost[chosen].sum()
    if len(chosen) < instance["sends"]:
        for member in np.flatnonzero(result.coupon < 0):
            possible = (value[member] > 0) & (left > 0) & (cost <= budget)
            assert not possible.any()


@given(instances(), st.randoms(use_true_random=False))
def test_the_order_of_the_members_changes_nothing(instance, random):
    order = list(range(len(instance["value"])))
    random.shuffle(order)
    shuffled = instance | {
        name: [instance[name][row] for row in order] for name in ("value", "held", "ties")
    }
    straight, other = run(**instance), run(**shuffled)
    assert other.coupon.tolist() == [straight.coupon[row] for row in order]
    assert other.reason == [straight.reason[row] for row in order]


@given(instances())
def test_held_out_members_take_nothing_from_the_others(instance):
    result = run(**instance)
    treated = [row for row, held in enumerate(instance["held"]) if not held]
    alone = instance | {
        name: [instance[name][row] for row in treated] for name in ("value", "held", "ties")
    }
    assert run(**alone).coupon.tolist() == [result.coupon[row] for row in treated]


def test_without_limits_everyone_gets_their_best():
    for value in product([-1.0, 1.0, 2.0], repeat=2):
        best = int(np.argmax(value)) if max(value) > 0 else -1
        assert run([list(value)], [0, 0]).coupon.tolist() == [best]


def test_a_used_up_coupon_makes_members_choose_again():
    result = run([[5, 1], [4, 3]], [1, 1], coupons=[1, 9])
    assert result.coupon.tolist() == [0, 1]


def test_each_reason_names_the_limit_that_was_met():
    assert run([[1.0]], [5], budget=4).reason == ["budget"]
    assert run([[1.0]], [5], sends=0).reason == ["campaign_limit"]
    assert run([[1.0]], [5], coupons=[0]).reason == ["coupon_limit"]


def test_a_value_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="NaN"):
        run([[float("nan")]], [1])
