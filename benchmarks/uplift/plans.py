"""Plans of one week under a budget, and what each truly earns."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from campaigns.allocation.allocate import allocate
from campaigns.allocation.problem import Choices, Limit

Doubles = NDArray[np.float64]
Chosen = NDArray[np.int64]
"""shape (members,): a coupon, or -1 for nothing"""
MINOR = 100
"""smallest coins in one unit of money"""


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


def plan(week: Week) -> Chosen:
    """The most value within budget and limits, as `campaigns plan` shares it out."""
    members, coupons = week.value.shape
    member, coupon = np.nonzero(week.value > 0)
    choices = Choices(
        np.searchsorted(member, np.arange(members + 1)).astype(np.int64),
        week.value[member, coupon].astype(np.float32),
        np.ceil(week.cost[member, coupon] * MINOR - 1e-6).astype(np.int32),
        coupon.astype(np.uint16),
    )
    limits = [
        Limit("budget", int(week.budget * MINOR), range(coupons), money=True),
        *(Limit(f"coupon {at}", week.limit, [at]) for at in range(coupons)),
    ]
    found = allocate(
        choices,
        offers=coupons,
        limits=limits,
        held_out=np.zeros(members, np.bool_),
        lots=np.arange(members) / members,
    )
    chosen: Chosen = np.full(members, -1, np.int64)
    given = found.chosen >= 0
    chosen[given] = choices.offer[found.chosen[given]]
    return chosen


def best_for_each(week: Week) -> Chosen:
    """Everybody's best coupon, whatever it costs, the most valuable first."""
    return _first(week, np.argsort(-week.value.max(axis=1), kind="stable"), _best(week))


def first_come(week: Week) -> Chosen:
    """Everybody's best coupon, in the order of the members."""
    return _first(week, np.arange(len(week.value)), _best(week))


def by_lot(week: Week, rng: np.random.Generator) -> Chosen:
    """Any coupon for anybody."""
    members, coupons = week.value.shape
    wanted: Chosen = rng.integers(coupons, size=(members,), dtype=np.int64)
    return _first(week, rng.permutation(members), wanted)


def spent(week: Week, chosen: Chosen) -> float:
    """Of the budget."""
    return _sum(week.cost, chosen)


def _sum(table: Doubles, chosen: Chosen) -> float:
    given = np.flatnonzero(chosen >= 0)
    return float(table[given, chosen[given]].sum())


earned: Callable[[Doubles, Chosen], float] = _sum
"""what a plan earns at these values"""


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
