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
    limit: int
    """pushes of one coupon"""


STEPS = 400


def plan(week: Week) -> Chosen:
    """The most value within budget and limits: everybody's best at the prices of money and coupons.

    Prices follow demand with falling steps (subgradient of the Lagrangian dual); of the plans on
    the way the best counts.
    """
    members, coupons = week.value.shape
    room = np.r_[np.full(coupons, float(week.limit)), week.budget]
    unit = float(np.maximum(week.value, 0).max(axis=1).mean()) or 1.0
    price = np.zeros(coupons + 1)
    scale = np.r_[np.ones(coupons), 1 / week.cost.mean()]  # what a push uses of each
    best, most = np.full(members, -1), 0.0
    for step in range(STEPS):
        net = week.value - price[:coupons] - price[coupons] * week.cost
        wanted = net.argmax(axis=1)
        gain = net.max(axis=1)
        chosen = np.where(gain > 0, wanted, -1)
        if step % 10 == 9:
            found = _first(week, np.argsort(-gain, kind="stable"), _or_worth(week, chosen))
            if (value := earned(week.value, found)) > most:
                best, most = found, value
        used = np.r_[np.bincount(chosen[chosen >= 0], minlength=coupons), spent(week, chosen)]
        price = np.maximum(price + unit / (step + 5) ** 0.6 * scale * (used / room - 1), 0)
    return best


def best_for_each(week: Week) -> Chosen:
    """Everybody's best coupon, whatever it costs, the most valuable first."""
    return _first(week, np.argsort(-week.value.max(axis=1), kind="stable"), _best(week))


def first_come(week: Week) -> Chosen:
    """Everybody's best coupon, in the order of the members."""
    return _first(week, np.arange(len(week.value)), _best(week))


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


def _or_worth(week: Week, chosen: Chosen) -> Chosen:
    """Who gets nothing at these prices waits for what is left over."""
    return np.where(chosen < 0, _best(week), chosen)


def _best(week: Week) -> Chosen:
    return np.where(week.value.max(axis=1) > 0, week.value.argmax(axis=1), -1)


def _first(week: Week, order: NDArray[np.int64], wanted: Chosen) -> Chosen:
    """Who comes while there is money for them, and a coupon."""
    chosen, budget = np.full(len(wanted), -1), week.budget
    left = np.full(week.value.shape[1], week.limit)
    for member in order:
        coupon = wanted[member]
        if coupon >= 0 and left[coupon] and week.cost[member, coupon] <= budget:
            chosen[member], budget = coupon, budget - week.cost[member, coupon]
            left[coupon] -= 1
    return chosen
