"""The nouns of a report; money is in the shop's currency."""

from dataclasses import dataclass

from campaigns.report.changes import Change
from campaigns.report.sums import Sums


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Members who get nothing of one campaign, for one reason."""

    decision: str
    words: str
    members: int
    then: int | None
    """in the last plan"""
    reason: str
    """the one that most of them have"""


@dataclass(frozen=True, slots=True)
class OfCoupon:
    """One coupon of a campaign."""

    coupon: str
    title: str | None
    pushes: int
    cost: float
    value: float


@dataclass(frozen=True, slots=True)
class Shown:
    """One push."""

    member: str
    coupon: str
    title: str | None
    worth: float
    chance: float
    cost: float
    reason: str
    by_lot: bool
    """or for what it is worth"""


@dataclass(frozen=True, slots=True)
class Simple:
    """First come, first served."""

    pushes: int
    cost: float
    value: float


@dataclass(frozen=True, slots=True)
class OfCampaign:
    """One campaign's plan."""

    campaign: str
    title: str
    plan: str
    starts: str
    ends: str
    audience: str | None
    members: int
    held_out: int
    budget: float
    margin_rate: float | None
    coupon_value: float | None
    holdout: float | None
    sums: Sums
    naive: Simple | None
    left_out: list[LeftOut]
    coupons: list[OfCoupon]
    more_coupons: int
    shown: list[Shown]
    last: Change | None
    """None: there was none, or its file is gone"""
    last_gone: str | None
    """id of the last plan where it cannot be read any more"""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Expected value if one assumption is another, or so many times what was measured."""

    assumption: str
    assumed: float
    at: dict[str, float]
    """assumed instead → expected value"""
    even: float | None
    """assumed instead, for nothing to be earned; None where no share does"""


@dataclass(frozen=True, slots=True)
class Report:
    """Of one plan, and of those that were made together with it."""

    plan: str
    said: str
    """when it was reported"""
    campaigns: list[OfCampaign]
    absent: list[str]
    """occasions that were planned together with it, whose plans cannot be read any more"""
    sums: Sums
    together: dict[str, object]
    """value, bound, gap, limits with their prices, minimums"""
    prices: list[str]
    minimums: list[str]
    naive: Simple | None
    kept: float
    """in the value of all together: what it is worth to keep slots for other campaigns"""
    scenarios: list[Scenario]
    basis: str | None
    """what says which orders come because of a push, in words"""
