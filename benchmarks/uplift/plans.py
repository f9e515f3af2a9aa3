"""Plans of one week under a budget, and what each truly earns."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.optimize import linprog

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


def plan(week: Week) -> Chosen:
    """The most value within budget and limits: the linear programme (HiGHS), whose few members
    that are split between coupons get the first that fits."""
    members, coupons = week.value.shape
    each = sparse.kron(sparse.eye_array(members), np.ones((1, coupons)))
    limits = sparse.kron(np.ones((1, members)), sparse.eye_array(coupons))
    rows = sparse.vstack((each, limits, sparse.csr_array(week.cost.reshape(1, -1))), format="csr")
    bounds = np.r_[np.ones(members), np.full(coupons, week.limit), week.budget]
    found = linprog(-week.value.ravel(), A_ub=rows, b_ub=bounds, bounds=(0, 1), method="highs")
    share = found.x.reshape(members, coupons)
    best = np.where(share.max(axis=1) > 0.01, share.argmax(axis=1), -1)
    return _first(week, np.argsort(-share.max(axis=1), kind="stable"), best)


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
