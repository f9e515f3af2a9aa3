"""How often a member may be pushed to: over all channels, and on single ones beside."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from campaigns.instants import DAY, WEEK


@dataclass(frozen=True, slots=True)
class ChannelCap:
    """At most `most` pushes of one channel within so many days."""

    most: int
    days: float

    @property
    def span(self) -> int:
        """Microseconds."""
        return int(self.days * DAY)


@dataclass(frozen=True, slots=True)
class Cap:
    """The most restrictive of its parts wins."""

    gap: int = WEEK
    """microseconds from the end of one push to the start of the next"""
    weeks: bool = False
    """two calendar weeks, and 26 h between, are enough as well"""
    zone: str = "UTC"
    """of members whose own is unknown"""
    channels: Mapping[str, ChannelCap] = field(default_factory=dict)
    """further caps, by channel"""


ROLLING = Cap()
"""7 × 24 h and no more"""
