"""How often a member may be pushed to: over all channels, and on single ones beside."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from campaigns.instants import DAY, WEEK, from_micros, to_micros
from campaigns.policy.weeks import first_free


class ChannelCap(BaseModel):
    """At most `most` pushes of one channel within so many days."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    most: Annotated[int, Field(ge=1, le=100)]
    days: Annotated[float, Field(gt=0, le=3650)]

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

    def free_after(self, end: int, zone: str | None) -> int:
        """When a member of the zone may be pushed to after a push that ended, in microseconds."""
        if not self.weeks:
            return end + self.gap
        by_weeks = first_free(from_micros(end), zone, zone, default_zone=self.zone)
        return min(end + self.gap, to_micros(by_weeks))


ROLLING = Cap()
"""7 × 24 h and no more"""
