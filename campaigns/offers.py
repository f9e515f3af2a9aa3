"""What the planner asks of whoever knows what a coupon is worth to a member."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

ENDLESS = -1
"""in place of minor units, where nothing limits them"""


def minor(money: float, units: int) -> int:
    """Minor units, rounded up; ENDLESS for what is not finite."""
    return math.ceil(money * units - 1e-9) if math.isfinite(money) else ENDLESS


@dataclass(frozen=True, slots=True)
class Offers:
    """A campaign's coupons for some members."""

    coupon_ids: list[str]
    value: NDArray[np.float64]
    """shape (members, coupons): expected profit of the push in money; −inf: not eligible"""
    probability: NDArray[np.float64]
    """shape (members, coupons): that the member redeems it"""
    cost: NDArray[np.float64]
    """shape (coupons,): money for issuing one"""
    discount: NDArray[np.float64]
    """shape (members, coupons): money off the member's usual order, if it is redeemed"""
    most_off: NDArray[np.float64]
    """shape (coupons,): money off at most, whatever is ordered; inf where nothing limits it"""
    basis: str
    """what says which orders come because of a push, in words"""


class OfferSource(Protocol):
    """Values coupons for members, and says why in a sentence."""

    def offers(self, member_ids: Sequence[str], /) -> Offers:
        """The same coupons in the same order on every call."""

    def explain(self, member_id: str, coupon_id: str, /) -> str:
        """Why this coupon for this member."""


@dataclass(frozen=True, slots=True)
class Carried:
    """Offers less what the channel takes for the message."""

    source: OfferSource
    fee: float
    """money for each message"""

    def offers(self, member_ids: Sequence[str], /) -> Offers:
        """See `OfferSource`."""
        found = self.source.offers(member_ids)
        return replace(found, value=found.value - self.fee, cost=found.cost + self.fee)

    def explain(self, member_id: str, coupon_id: str, /) -> str:
        """See `OfferSource`."""
        return self.source.explain(member_id, coupon_id)
