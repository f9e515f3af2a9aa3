"""Plans of one week under a budget, and what each truly earns."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]
Chosen = NDArray[np.int64]
"""shape (members,): a coupon, or -1 for nothing"""


@dataclass(frozen=True, slots=True)
class Week:
    """shape (members, coupons) each."""

    value: Doubles
    """expected profit, as the planner sees it"""
    cost: Doubles
    """what a push takes from the budget"""
    budget: float


def plan(week: Week) -> Chosen:
    """The most value within the budget: every member's best coupon at one price of money, found
    by halving; what the last step leaves is filled up by value."""
    low, high = 0.0, float((week.value / week.cost).max(initial=0.0)) + 1.0
    chosen = _at(week, high)
    if spent(week, free := _at(week, low)) <= week.budget:
        return free
    for _ in range(60):
        price = (low + high) / 2
        found = _at(week, price)
        if spent(week, found) <= week.budget:
            chosen, high = found, price
        else:
            low = price
    return _first(week, np.argsort(chosen < 0, kind="stable"), np.where(chosen < 0, _at(week, low), chosen))


def best_for_each(week: Week) -> Chosen:
    """Everybody's best coupon, whatever it costs, the most valuable first."""
    return _first(week, np.argsort(-week.value.max(axis=1), kind="stable"), _at(week, 0.0))


def first_come(week: Week) -> Chosen:
    """Everybody's best coupon, in the order of the members."""
    return _first(week, np.arange(len(week.value)), _at(week, 0.0))


def by_lot(week: Week, rng: np.random.Generator) -> Chosen:
    """Any coupon for anybody."""
    members, coupons = week.value.shape
    return _first(week, rng.permutation(members), rng.integers(coupons, size=members))


def spent(week: Week, chosen: Chosen) -> float:
    """Of the budget."""
    return _sum(week.cost, chosen)


def _sum(table: Doubles, chosen: Chosen) -> float:
    given = np.flatnonzero(chosen >= 0)
    return float(table[given, chosen[given]].sum())


earned: Callable[[Doubles, Chosen], float] = _sum
"""what a plan earns at these values"""


def _at(week: Week, price: float) -> Chosen:
    net = week.value - price * week.cost
    best = net.argmax(axis=1)
    return np.where(net.max(axis=1) > 0, best, -1)


def _first(week: Week, order: NDArray[np.int64], wanted: Chosen) -> Chosen:
    """Who comes while there is money for them."""
    chosen, left = np.full(len(wanted), -1), week.budget
    for member in order:
        coupon = wanted[member]
        if coupon >= 0 and week.cost[member, coupon] <= left:
            chosen[member], left = coupon, left - week.cost[member, coupon]
    return chosen
