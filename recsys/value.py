"""What a push earns, and what that rests on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.coupons import Terms

Reals = NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class Gained:
    """Orders that come because of a push, below zero where it drives them away."""

    orders: Reals
    """an expected number for each push"""
    basis: str
    """what says so, in words: a result names it"""


def assumed(redeemed: Reals, terms: Terms) -> Gained:
    """Where nobody was held out by lot: a stated share of the orders that redeem, and no other.

    Cautious: what a push brings beside redemptions counts nothing, and every redemption costs.
    """
    share = terms.incremental_share
    return Gained(redeemed * redeemed.dtype.type(share), assumption(share))


def assumption(share: float) -> str:
    """What `assumed` rests on, in words."""
    return f"assumed: {share:.0%} of the orders that redeem would not have come without the push"


def measured(orders: Reals, *, rows: int, learner: str) -> Gained:
    """Where some were: what the effect that a trial of so many rows showed foretells."""
    return Gained(orders, measurement(rows, learner))


def measurement(rows: int, learner: str) -> str:
    """What `measured` rests on, in words."""
    return f"measured: {rows:,} pushes drawn by lot, some held out ({learner})"


def profit(
    gained: Gained, redeemed: Reals, *, margin: Reals, discount: Reals, cost: Reals
) -> Reals:
    """Expected incremental profit of each push, money; all arguments broadcast.

    The margin of the orders that come because of it, less the discount on all that redeem, so on
    what would have been bought anyway as well, less what coupon and channel cost. A cost falls due
    where an order redeems (Du et al., incremental profit per conversion, arXiv 2306.13759).

    redeemed: chance that a push is redeemed. margin, discount: money an order.
    """
    return gained.orders * margin - redeemed * discount - cost
