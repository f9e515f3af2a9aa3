"""Instants at the ledger's edge: aware datetimes outside, whole microseconds since 1970 inside."""

from datetime import UTC, datetime, timedelta

_START = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

SECOND = 1_000_000
HOUR = 3_600 * SECOND
DAY = 24 * HOUR
WEEK = 7 * DAY


def to_micros(instant: datetime) -> int:
    """Exact, where `timestamp()` would round."""
    return (instant - _START) // _MICROSECOND


def from_micros(micros: int) -> datetime:
    """The counterpart of `to_micros`, in UTC."""
    return _START + timedelta(microseconds=micros)


def words(micros: int) -> str:
    """For messages: 2017-12-03 10:00 UTC."""
    return f"{from_micros(micros):%Y-%m-%d %H:%M} UTC"
