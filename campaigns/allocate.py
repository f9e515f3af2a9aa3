"""One coupon for each member: the best one, within the budget and the issue limits."""

import heapq
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Reason: TypeAlias = Literal["push", "no_offer_worth_it", "coupon_limit", "campaign_limit", "budget"]


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be given out; all in whole numbers."""

    budget: int
    """minor units"""
    sends: int
    coupons: NDArray[np.int64]
    """shape (coupons,)"""


@dataclass(frozen=True, slots=True)
class Allocation:
    """Per member, in their order."""

    coupon: NDArray[np.int32]
    """shape (members,); −1 for none"""
    reason: list[Reason]


def allocate(
    value: NDArray[np.float64],
    cost: NDArray[np.int64],
    *,
    limits: Limits,
    held_out: NDArray[np.bool_],
    ties: NDArray[np.uint64],
) -> Allocation:
    """Greedy by value for its cost; a member whose coupon ran out chooses again.

    value: shape (members, coupons), −inf where not eligible; only values above 0 are worth a
    push. cost: shape (coupons,), minor units. Held-out members choose in the same order from what
    is left at that moment, and consume nothing. Equal offers go by `ties`, so the order of the
    members changes nothing.
    """
    if np.isnan(value).any():
        raise ValueError("an offer's value is NaN")
    members = len(value)
    chosen = np.full(members, -1, np.int32)
    reason: list[Reason] = ["no_offer_worth_it"] * members
    if value.shape[1] == 0:
        return Allocation(chosen, reason)
    left = limits.coupons.copy()
    budget, sends = limits.budget, limits.sends
    queue = [
        _entry(value, cost, member, coupon, ties)
        for member, coupon in enumerate(value.argmax(axis=1).tolist())
        if value[member, coupon] > 0
    ]
    heapq.heapify(queue)
    while queue:
        *_, member, coupon = heapq.heappop(queue)
        if sends > 0 and left[coupon] > 0 and cost[coupon] <= budget:
            chosen[member], reason[member] = coupon, "push"
            if not held_out[member]:
                sends -= 1
                left[coupon] -= 1
                budget -= int(cost[coupon])
            continue
        possible = (left > 0) & (cost <= budget) & (value[member] > 0)
        if sends <= 0:
            reason[member] = "campaign_limit"
        elif possible.any():
            again = int(np.where(possible, value[member], -np.inf).argmax())
            heapq.heappush(queue, _entry(value, cost, member, again, ties))
        else:
            affordable = (cost <= budget) & (value[member] > 0)
            reason[member] = "coupon_limit" if affordable.any() else "budget"
    return Allocation(chosen, reason)


def _entry(
    value: NDArray[np.float64],
    cost: NDArray[np.int64],
    member: int,
    coupon: int,
    ties: NDArray[np.uint64],
) -> tuple[float, float, int, int, int]:
    worth = float(value[member, coupon])
    price = int(cost[coupon])
    ratio = worth / price if price else float("inf")
    return -ratio, -worth, int(ties[member]), member, coupon
