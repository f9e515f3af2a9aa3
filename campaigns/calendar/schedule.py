"""When a campaign comes round: each week, on a day of each month, on dates of a list, on birthdays.

Dates and times are by the clock on the wall of the schedule's zone. A time that a clock change
skips is read as the hour after it; of one that comes twice the first counts.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Annotated, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from campaigns.policy.quiet_hours import known_zone

_DAY = timedelta(days=1)
_WEEK_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_MINUTES = 60

Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Leap = Literal["28-february", "1-march"]


@dataclass(frozen=True, slots=True)
class Window:
    """From when until when one occasion of a campaign is sent; instants in UTC."""

    starts_at: datetime
    ends_at: datetime


def _wall_time(value: object) -> object:
    """YAML reads 10:30 without quotes as a number to the base of 60."""
    if isinstance(value, int) and _MINUTES <= value < 24 * _MINUTES:
        return time(*divmod(value, _MINUTES))
    if isinstance(value, str):
        try:
            return time.fromisoformat(value) if ":" in value else None
        except ValueError:
            return None
    return value if isinstance(value, time) else None


def _local(value: time) -> time:
    if value.tzinfo is not None:
        raise ValueError("write the time without a zone, as 10:30; the zone is a key of its own")
    return value


def _named_zone(value: str) -> str:
    if known_zone(value) is None:
        raise ValueError(f"'{value}' is no IANA zone; write it as Europe/Berlin")
    return value


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Timed(_Part, ABC):
    at: Annotated[time, AfterValidator(_local), BeforeValidator(_wall_time)]
    zone: Annotated[str, AfterValidator(_named_zone)]
    hours: Annotated[float, Field(gt=0, le=168)]
    """how long each window is open"""

    def windows(self, after: datetime, until: datetime) -> Iterator[Window]:
        """Those that start later than `after` and no later than `until`, the earliest first."""
        zone = ZoneInfo(self.zone)
        day, last = after.astimezone(zone).date(), until.astimezone(zone).date()
        while day <= last:
            start = datetime.combine(day, self.at, zone).astimezone(UTC)
            if self._is_on(day) and after < start <= until:
                yield Window(start, start + timedelta(hours=self.hours))
            day += _DAY

    @abstractmethod
    def _is_on(self, day: date) -> bool:
        """Whether a window starts on this day."""


class Weekly(_Timed):
    """Once a week."""

    every: Literal["week"]
    day: Day

    def _is_on(self, day: date) -> bool:
        return _WEEK_DAYS[day.weekday()] == self.day


class Monthly(_Timed):
    """A member day: such as the first Saturday of each month."""

    every: Literal["month"]
    nth: Annotated[int, Field(ge=1, le=4)]
    day: Day

    def _is_on(self, day: date) -> bool:
        return _WEEK_DAYS[day.weekday()] == self.day and (day.day - 1) // 7 + 1 == self.nth


class Holidays(_Timed):
    """Named dates, which the file lists."""

    every: Literal["holiday"]
    days: Annotated[dict[str, date], Field(min_length=1)]

    def _is_on(self, day: date) -> bool:
        return day in self.days.values()


class Birthdays(_Part):
    """Each member's birthday, by the date where they are."""

    every: Literal["birthday"]
    leap: Leap = "28-february"
    """when who was born on 29 February has a birthday in other years"""


Repeated = Weekly | Monthly | Holidays
Schedule = Annotated[Repeated | Birthdays, Field(discriminator="every")]
