"""Who has a birthday, and when it begins where they are.

Members whose day begins at one instant are one occasion. So each is congratulated while it is their
date, wherever they are, and nobody falls between two zones.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from campaigns.calendar.schedule import Leap, Window
from campaigns.policy.quiet_hours import known_zone

LONGEST_DAY = timedelta(hours=26)
"""no clock change makes a day longer"""
_DAY = timedelta(days=1)
_LEAP_DAY = (2, 29)


@dataclass(frozen=True, slots=True)
class Born:
    """A member as far as birthdays go."""

    member_id: str
    birthday: date
    zone: str | None
    """IANA name as the ledger has it"""


@dataclass(slots=True)
class Party:
    """All whose birthday begins at one instant."""

    window: Window
    """ends with the first of their days to end"""
    members: list[str] = field(default_factory=list)


def birthday_in(year: int, birthday: date, leap: Leap) -> date:
    """The date of the birthday in a year."""
    if (birthday.month, birthday.day) != _LEAP_DAY or _is_leap(year):
        return birthday.replace(year=year)
    return date(year, 2, 28) if leap == "28-february" else date(year, 3, 1)


def parties(
    members: Iterable[Born], leap: Leap, *, after: datetime, until: datetime, default_zone: str
) -> list[Party]:
    """The birthdays that begin later than `after` and no later than `until`, by their beginning."""
    found: dict[datetime, Party] = {}
    for one in members:
        zone = known_zone(one.zone) or ZoneInfo(default_zone)
        for day in _birthdays(one.birthday, leap, after.astimezone(zone), until.astimezone(zone)):
            start, end = _begins(day, zone), _begins(day + _DAY, zone)
            if not after < start <= until:
                continue
            party = found.setdefault(start, Party(Window(start, end)))
            party.members.append(one.member_id)
            if end < party.window.ends_at:
                party.window = Window(start, end)
    return [found[start] for start in sorted(found)]


def _birthdays(birthday: date, leap: Leap, first: datetime, last: datetime) -> Iterator[date]:
    for year in range(first.year, last.year + 1):
        day = birthday_in(year, birthday, leap)
        if first.date() <= day <= last.date():
            yield day


def _begins(day: date, zone: ZoneInfo) -> datetime:
    """Midnight; where the clock skips it, what it is set to."""
    return datetime.combine(day, time(), zone).astimezone(UTC)


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
