"""Plans all campaigns of a week together: for each member one choice or none."""

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from campaigns.allocation.exchange import standing_in_the_way
from campaigns.allocation.minimums import ceilings, decide, rough_prices
from campaigns.allocation.passes import Tariff, draw
from campaigns.allocation.prices import Market
from campaigns.allocation.problem import (
    MOST_COST,
    Choices,
    Doubles,
    Limit,
    Minimum,
    Rows,
    Rules,
    Scale,
    Wide,
    check,
    rules_of,
    scale_of,
)

CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
IDLE = 10.0
"""heats: below so much, what lies idle is not worth its price"""


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
    value: float
    """of what is given out; held-out members not counted"""
    bound: float
    """no plan within the limits is worth more"""
    prices: Doubles
    """shape (limits,): value that one more unit would earn; NaN where the limit allows nothing"""
    subsidies: Doubles
    """shape (minimums,): value that a push is credited with, so that the minimum is reached"""
    used: Wide
    """shape (limits,)"""
    runs: NDArray[np.bool_]
    """shape (minimums,)"""
    conflicts: list[Conflict]
    tariff: Tariff
    """at these prices, for all offers"""
    rules: Rules

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
    size = len(limits)
    use, price = settled.use[:size], found.price[:size].copy()
    # A limit with room to spare has no price but what its barrier weighs.
    idle = rules.bound[:size] - use
    price[(idle > 0) & (price * idle < IDLE * found.heat)] = 0.0
    price[rules.bound[:size] == 0] = np.nan
    return Allocation(
        settled.chosen,
        settled.value,
        found.bound,
        price,
        found.price[size:],
        use,
        found.runs,
        [one for one in conflicts if one is not None],
        tariff,
        rules,
    )


def barriers(choices: Choices, plan: Allocation, asked: Rows, offers: Sequence[int]) -> (
    NDArray[np.int32]
):  # fmt: skip
    """What keeps the best of some offers from members: the place of a limit, or, counted after the
    limits, of a minimum whose offers do not run; -1 where no such offer has a positive value.

    asked: shape (asked members,), their rows; likewise the result.
    """
    barrier = np.full(choices.members, -1, np.int32)
    among = np.zeros(len(plan.rules.offsets) - 1, np.bool_)
    among[np.asarray(offers, np.int64)] = True
    price = np.r_[np.nan_to_num(plan.prices), plan.subsidies]
    use = np.r_[plan.used, np.zeros(len(plan.runs), np.int64)]
    shut = np.r_[np.zeros(len(plan.used), np.bool_), ~plan.runs]
    standing_in_the_way(asked, choices, plan.tariff, plan.rules, use, price, shut, among, barrier)
    return barrier[asked]


def _may_bind(rules: Rules, scale: Scale, members: int) -> NDArray[np.bool_]:
    """shape (rules,): limits that could stand in somebody's way; those of 0 bar their offers."""
    most = members * rules.most_used(scale.dearest)
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
    unit = rules.mean_used(costs.mean() if len(costs) else 0.0, offers)
    names = [one.name for one, dear in zip(limits, price * unit > 0.05, strict=False) if dear]
    return Conflict(minimum.name, reachable, names)
