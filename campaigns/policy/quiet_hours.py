"""Quiet hours: [begins, ends) by the clock on a member's wall.

An instant is quiet when the wall shows a quiet time. So an hour that happens twice is quiet both
times, and where a clock is set forward over an edge, that instant is the edge.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

_DAY = timedelta(days=1)
_HOUR = timedelta(hours=1)
_SECOND = timedelta(seconds=1)
_DAYS_TO_LOOK = 8
_START = datetime(1970, 1, 1, tzinfo=UTC)
# Time zone files without a place: of an installer, and of the machine that this runs on.
_NOWHERE = frozenset({"Factory", "localtime"})


@cache
def known_zone(name: str | None) -> ZoneInfo | None:
    """An IANA zone by its name; None for what is none."""
    if not name or name in _NOWHERE:
        return None
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


@dataclass(frozen=True, slots=True)
class QuietHours:
    """Instants are aware, zones are names as the ledger has them: None or a wrong one is unknown.

    `begins` = `ends`: no time is quiet.
    """

    begins: time = time(21)
    ends: time = time(9)
    default_zone: str = "UTC"
    """of members whose zone is unknown"""
    margin: timedelta = 2 * _HOUR
    """so much earlier begin, and later end, the quiet hours of those members"""

    @property
    def shortest_day(self) -> timedelta:
        """What is left of 24 h for a member whose zone is unknown; negative if nothing is."""
        return _DAY - self._span(known=False)[1]

    def is_quiet(self, instant: datetime, zone: str | None) -> bool:
        """Whether nobody of this zone may be sent to at an instant."""
        place, begins, length = self._at(zone)
        return _since(instant, place, begins) < length

    def next_awake(self, instant: datetime, zone: str | None) -> datetime:
        """The first instant from this one on that is not quiet, in UTC."""
        quiet = self.is_quiet(instant, zone)
        return self._edge(instant, zone) if quiet else instant.astimezone(UTC)

    def time_left(self, instant: datetime, zone: str | None) -> timedelta:
        """How long until quiet begins: none in quiet hours, `timedelta.max` if it never does."""
        if self.begins == self.ends:
            return timedelta.max
        if self.is_quiet(instant, zone):
            return timedelta(0)
        return self._edge(instant, zone) - instant

    def next_stretch(self, instant: datetime, zone: str | None, lasting: timedelta) -> datetime:
        """The first instant from this one on that so much time without quiet follows, in UTC.

        ValueError if no day has so much.
        """
        at = instant
        for _ in range(_DAYS_TO_LOOK):
            at = self.next_awake(at, zone)
            left = self.time_left(at, zone)
            if left >= lasting:
                return at
            at += left
        raise ValueError(f"{self} never leave {lasting} in {zone}")

    def first_calls(
        self, now: datetime, lasting: timedelta
    ) -> Callable[[str | None], datetime]:  # fmt: skip
        """`next_stretch` from now on by zone, each worked out once."""
        return cache(lambda zone: self.next_stretch(now, zone, lasting))

    def _at(self, name: str | None) -> tuple[ZoneInfo, timedelta, timedelta]:
        zone = known_zone(name)
        return zone or ZoneInfo(self.default_zone), *self._span(known=zone is not None)

    def _span(self, *, known: bool) -> tuple[timedelta, timedelta]:
        """Begin after midnight, and length."""
        begins, ends = (timedelta(hours=at.hour, minutes=at.minute, seconds=at.second)
                        for at in (self.begins, self.ends))  # fmt: skip
        length = (ends - begins) % _DAY
        if known or not length:
            return begins, length
        return begins - self.margin, length + 2 * self.margin

    def _edge(self, instant: datetime, name: str | None) -> datetime:
        """The first instant after this one at which quiet begins or ends."""
        zone, begins, length = self._at(name)
        at = instant.astimezone(UTC)
        quiet = _since(at, zone, begins) < length
        while True:
            since = _since(at, zone, begins)
            edge = at + ((length if quiet else _DAY) - since)
            if _offset(edge, zone) == _offset(at, zone):
                return edge
            at = _clock_change(at, edge, zone)
            if (_since(at, zone, begins) < length) is not quiet:
                return at


USUAL = QuietHours()
"""what holds where nothing else is set"""


def _since(instant: datetime, zone: ZoneInfo, begins: timedelta) -> timedelta:
    """What the wall shows, as time since `begins`: 0 to 24 h."""
    wall = instant.astimezone(zone).replace(tzinfo=None)
    return (wall - wall.replace(hour=0, minute=0, second=0, microsecond=0) - begins) % _DAY


def _offset(instant: datetime, zone: ZoneInfo) -> timedelta:
    return instant.astimezone(zone).utcoffset() or timedelta(0)


def _clock_change(before: datetime, after: datetime, zone: ZoneInfo) -> datetime:
    """The instant between two at which the zone's offset changes; there is one, at a second."""
    old = _offset(before, zone)
    low, high = (before - _START) // _SECOND, -((_START - after) // _SECOND)
    while high - low > 1:
        middle = (low + high) // 2
        if _offset(_START + middle * _SECOND, zone) == old:
            low = middle
        else:
            high = middle
    return _START + high * _SECOND
