"""The nouns of a lift report. Money is in the shop's currency, times are in words."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Effect:
    """What the campaign changed in one outcome through one day."""

    outcome: str
    day: int
    """cumulative, from the slot on"""
    planned: float
    """of a planned member who was not held out, mean"""
    without: float
    """what that would have been without the campaign, by those held out"""
    effect: float
    """for each planned member"""
    low: float
    high: float
    total: float
    """for all planned members who were not held out and whose day is over"""
    total_low: float
    total_high: float
    narrowed: float
    """share by which the interval is narrower for what was known before the slot"""


@dataclass(frozen=True, slots=True)
class Day:
    """How many clusters have lived through a day."""

    day: int
    treated: int
    held_out: int


@dataclass(frozen=True, slots=True)
class Arm:
    """One side of the draw."""

    members: int
    """planned for"""
    clusters: int
    """contact points that they share"""
    erased: int
    """clusters with an erased member: left out, for what they did is not known any more"""


@dataclass(frozen=True, slots=True)
class Check:
    """What has to hold, or no number is told."""

    name: str
    found: str
    """in words"""
    holds: bool


@dataclass(frozen=True, slots=True)
class Lift:
    """Of one occasion, or of a whole campaign."""

    occasion: str | None
    """None: all of the campaign's since the arms were last drawn, from each member's first slot"""
    since: str
    """the first slot"""
    share: float
    """held out"""
    treated: Arm
    held_out: Arm
    reached: int
    """members of the treated arm who were sent to"""
    checks: list[Check]
    withheld: list[str]
    """why no number is told; empty where there are"""
    days: list[Day]
    effects: list[Effect]


@dataclass(frozen=True, slots=True)
class CampaignLift:
    """All that a campaign's holdout tells."""

    campaign: str
    margin_rate: float
    whole: Lift
    occasions: list[Lift]


@dataclass(frozen=True, slots=True)
class LiftReport:
    """Of some campaigns."""

    said: str
    """when it was reported"""
    known_until: str
    """the last event that the dataset holds"""
    level: float
    """chance that all intervals of one campaign or occasion hold, however often one looks"""
    campaigns: list[CampaignLift]
