"""Which coupons a member can use now: by the coupon's own terms, and by what the ledger knows."""

from collections.abc import Mapping, Set
from typing import Protocol

from recsys.coupons import Coupon


class Held(Protocol):
    """What the ledger knows of coupons, for one member."""

    @property
    def sent(self) -> Mapping[str, str | None]:
        """Coupons sent to the member and not used yet, each with its code if it has one."""

    @property
    def closed(self) -> Set[str]:
        """Coupons that the member has no right to: used, or given by codes of which they have
        none."""

    @property
    def issued(self) -> Mapping[str, int]:
        """How often each coupon was issued to anybody; those never issued may be left out."""

    @property
    def redeemed(self) -> Mapping[str, int]:
        """Likewise, redeemed."""


class Nothing:
    """Of a shop without a ledger."""

    sent: Mapping[str, str | None] = {}
    closed: Set[str] = frozenset()
    issued: Mapping[str, int] = {}
    redeemed: Mapping[str, int] = {}


def eligible(
    coupon: Coupon, held: Held, *, now: float, tier: str | None, cart_total: float | None
) -> bool:
    """Whether the member can use it, at an instant in days since 1970.

    cart_total: None is no cart, of which nothing is asked yet. A coupon that was sent to the member
    is issued already; of others one must be left to issue.
    """
    key = coupon.coupon_id
    if not (coupon.valid(now) and coupon.admits(tier)):
        return False
    if cart_total is not None and not coupon.reached_by(cart_total):
        return False
    if not _left(coupon.max_redemptions, held.redeemed.get(key, 0)):
        return False
    if key in held.sent:
        return True
    return key not in held.closed and _left(coupon.max_issues, held.issued.get(key, 0))


def _left(most: int | None, taken: int) -> bool:
    return most is None or taken < most
