"""What a sender asks the ledger for before a call, and what it is answered."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Claim:
    """What a sender is about to do for one person."""

    plan_id: str
    occasion: str
    campaign: str
    coupon: str
    channel: str
    person: str
    contact: str
    """the contact point that the message was rendered for"""
    cost: int
    """minor units; what the budget pays"""
    reserve: int = 0
    """minor units; what the coupon may take off an order at most, where the campaign limits that"""
    ghost: bool = False
    """held out: takes the slot, costs nothing, makes no call"""
    coded: bool = False
    """the message has room for one of the coupon's codes, and needs it"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The slot, the coupon and the money are taken: make the call, then settle."""

    send_id: str
    attempt: int
    until: datetime
    """the call may not begin after this"""
    code: str | None = None
    """that the message carries"""


@dataclass(frozen=True, slots=True)
class Declined:
    """Nothing was taken, and why."""

    send_id: str
    reason: str
    free_at: datetime | None = None
    """for `capped` and `quiet_hours`: when they end"""


FirstCall = Callable[[str | None], datetime]
"""zone → when a member of it may be called first; later than now in quiet hours"""
