"""Plans all campaigns of a week together: for each member one choice or none."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from campaigns.allocation.exchange import standing_in_the_way
from campaigns.allocation.minimums import ceilings, decide, rough_prices
from campaigns.allocation.passes import draw
from campaigns.allocation.prices import Market
from campaigns.allocation.problem import (
    MOST_COST,
    Choices,
    Doubles,
    Limit,
    Minimum,
    Rules,
    Scale,
    Wide,
    check,
    rules_of,
    scale_of,
)

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
MOST_NODES = 200
"""combinations of campaigns looked at; what is left open then counts in the bound"""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A minimum that cannot be reached, even if it alone counted."""

    minimum: str
    reachable: int
    """pushes"""
    limits: list[str]
    """those that stand in its way; none where too few members can get one"""


@dataclass(frozen=True, slots=True)
class Allocation:
    """A plan that keeps every limit, and how good it is."""

    chosen: Wide
    """shape (members,): place among the choices, -1 for nothing; also what held-out members would
    have got"""
    barrier: NDArray[np.int32]
    """shape (members,): for who goes without though a choice has a positive value, the limit that
    stands in the way, or the minimum, counted after the limits, whose offers do not run; else -1"""
    value: float
    """of what is given out; held-out members not counted"""
    bound: float
    """no plan within the limits is worth more"""
    prices: Doubles
    """shape (limits,): value that one more unit would earn; NaN where the limit allows nothing"""
    used: Wide
    """shape (limits,)"""
    runs: NDArray[np.bool_]
    """shape (minimums,)"""
    conflicts: list[Conflict]

    @property
    def gap(self) -> float:
        """What may be missing to the best plan: a share of the bound, or, where the bound is not
        above 0, in money."""
        missing = max(self.bound - self.value, 0.0)
        return missing / self.bound if self.bound > 0 else missing


def allocate(
    choices: Choices,
    *,
    offers: int,
    limits: Sequence[Limit],
    minimums: Sequence[Minimum] = (),
    held_out: NDArray[np.bool_],
    lots: Doubles,
) -> Allocation:
    """The plan of most value within all limits; the gap says how near it is.

    held_out: shape (members,). They choose at the same prices and use nothing up.
    lots: shape (members,), in [0, 1), from a hash of each member: draws between equals, and makes
    the plan the same in whatever order the members come.
    """
    check(choices, offers, limits, minimums)
    order = np.argsort(lots, kind="stable")
    held = held_out[order]
    scale = scale_of(choices, order[~held], offers)
    rules = rules_of(scale, limits, minimums)
    with ThreadPoolExecutor(CORES) as threads:
        market = Market(
            choices,
            rules,
            order[~held],
            _may_bind(rules, scale, int((~held).sum())),
            ceilings(rules, np.zeros(len(rules.bound), np.bool_)),
            scale,
            threads,
        )
        conflicts = [_conflict(market, minimum, limits) for minimum in minimums]
        possible = np.array([one is None for one in conflicts], np.bool_)
        found = decide(market, lots, possible=possible)
        part, settled = found.market, found.settled
        tariff = part.tariff(found.price)
        draw(order[held], choices, tariff, found.heat, lots, settled.chosen)
        barrier = np.full(choices.members, -1, np.int32)
        shut = np.r_[np.zeros(len(limits), np.bool_), ~found.runs]
        standing_in_the_way(
            order, choices, tariff, rules, settled.use, found.price, shut, settled.chosen, barrier
        )
    size = len(limits)
    nothing = rules.bound[:size] == 0
    return Allocation(
        settled.chosen,
        barrier,
        settled.value,
        found.bound,
        np.where(nothing, np.nan, found.price[:size]),
        settled.use[:size],
        found.runs,
        [one for one in conflicts if one is not None],
    )


def _may_bind(rules: Rules, scale: Scale, members: int) -> NDArray[np.bool_]:
    """shape (rules,): limits that could stand in somebody's way; those of 0 bar their offers."""
    most = members * np.where(rules.money, scale.dearest, 1)
    return (rules.sign > 0) & (rules.bound > 0) & (rules.bound < most)


def _conflict(market: Market, minimum: Minimum, limits: Sequence[Limit]) -> Conflict | None:
    """Why a minimum cannot be reached: as many pushes as possible are still too few."""
    rules, offers = market.rules, np.asarray(minimum.offers, np.int64)
    size = len(rules.offsets) - 1
    bonus, most = np.zeros(size), np.full(size, -1, np.int64)
    bonus[offers], most[offers] = 1.0, MOST_COST
    limited = (rules.sign > 0) & (market.active | (rules.bound == 0))
    counting = replace(market, weight=0.0, bonus=bonus, most=most, active=limited)
    price = rough_prices(counting, 1.0, floor=-np.inf)
    reachable = int(counting.bound(price) + 1e-6)
    if reachable >= minimum.least:
        return None
    costs = market.choices.cost[np.isin(market.choices.offer, offers)]
    unit = np.where(rules.money, costs.mean() if len(costs) else 0.0, 1.0)
    names = [one.name for one, dear in zip(limits, price * unit > 0.05, strict=False) if dear]
    return Conflict(minimum.name, reachable, names)
