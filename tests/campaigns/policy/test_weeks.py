"""Against an oracle that reads ISO weeks off the wall, minute by minute, around clock changes."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.instants import HOUR as LEDGER_HOUR
from campaigns.ledger import tables
from campaigns.policy.weeks import LEAST_GAP, first_free, week_of, weeks_apart

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ZONES = sorted(available_timezones() - {"Factory", "localtime"})
ODD = ["Europe/Berlin", "America/Havana", "Australia/Lord_Howe", "Antarctica/Troll",
       "Africa/Cairo", "America/Santiago", "Pacific/Chatham", "Pacific/Kiritimati",
       "Pacific/Pago_Pago", "Asia/Beirut"]  # fmt: skip
YEARS_END = datetime(2026, 12, 28, tzinfo=UTC)  # week 53 begins


def first_days(zone: ZoneInfo, years: Sequence[int]) -> Iterator[datetime]:
    """Ten days before each day with a clock change, and before the turns of the years."""
    day, end = datetime(years[0], 1, 1, tzinfo=UTC), datetime(years[-1] + 1, 1, 1, tzinfo=UTC)
    while day < end:
        after = day + DAY
        changes = day.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset()
        if changes or (day.month, day.day) == (12, 31):
            yield day - 10 * DAY
        day = after


def compare(name: str, first: datetime) -> int:
    """Each half hour of two weeks from `first`; returns how many were looked at."""
    zone = ZoneInfo(name)
    minutes = [first + n * MINUTE for n in range(23 * 24 * 60)]
    iso = [one.astimezone(zone).isocalendar()[:2] for one in minutes]
    begins = [n for n, (before, after) in enumerate(pairwise(iso), 1) if before != after]
    number = np.searchsorted(begins, np.arange(len(minutes)), side="right")
    base = week_of(first, name, default_zone="UTC")
    for n in range(0, 14 * 24 * 60, 30):
        at = minutes[n]
        assert week_of(at, name, default_zone="UTC") == base + number[n], (name, at)
        free = max(minutes[begins[number[n]]], at + LEAST_GAP)
        assert first_free(at, name, name, default_zone="UTC") == free, (name, at)
        assert weeks_apart(at, name, free, name, default_zone="UTC")
        assert not weeks_apart(at, name, free - MINUTE, name, default_zone="UTC")
    return 14 * 24 * 2


@pytest.mark.parametrize("name", ODD)
def test_the_weeks_of_clock_changes_agree_with_the_wall(name: str) -> None:
    for first in first_days(ZoneInfo(name), [2026]):
        compare(name, first)


@pytest.mark.soak
def test_all_zones_agree_with_the_wall_from_2025_to_2030() -> None:
    looked = 0
    for name in ZONES:
        for first in first_days(ZoneInfo(name), range(2025, 2031)):
            looked += compare(name, first)
    assert looked > 2_000_000


def test_the_weeks_of_a_whole_year_follow_each_other_in_every_zone() -> None:
    for name in ZONES:
        wall = [(YEARS_END + n * DAY).astimezone(ZoneInfo(name)) for n in range(-370, 15)]
        for before, after in pairwise(wall):
            step = week_of(after, name, default_zone="UTC") - week_of(
                before, name, default_zone="UTC"
            )
            assert step == (after.isocalendar()[:2] != before.isocalendar()[:2]), (name, after)


zones = st.sampled_from([*ZONES, None, "Mars/Base"])
instants = st.integers(0, 6 * 365 * 86_400_000_000).map(
    lambda at: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)
)
waits = st.integers(0, 16 * 86_400_000_000).map(lambda at: timedelta(microseconds=at))
TICK = timedelta(microseconds=1)


@given(last=instants, before=zones, zone=zones, wait=waits, default=st.sampled_from(ODD))
def test_the_first_free_instant_parts_what_is_allowed_from_what_is_not(
    last: datetime, before: str | None, zone: str | None, wait: timedelta, default: str
) -> None:
    free = first_free(last, before, zone, default_zone=default)
    assert LEAST_GAP <= free - last <= 8 * DAY + 2 * HOUR
    assert not weeks_apart(last, before, free - TICK, zone, default_zone=default)
    allowed = weeks_apart(last, before, last + wait, zone, default_zone=default)
    assert allowed == (last + wait >= free)


def shown(at: datetime, zone: str) -> tuple[int, int]:
    return at.astimezone(ZoneInfo(zone)).isocalendar()[:2]


def breaches(rng: Random, *, both: bool) -> int:
    """One member who moves about and is sent to as soon as the rule lets."""
    at = datetime(2025, 1, 1, tzinfo=UTC) + rng.random() * 2000 * DAY
    pushes = [(at, rng.choice(ZONES))]
    while len(pushes) < 6:
        last, before = pushes[-1]
        here = rng.choice(ZONES)
        at = first_free(last, before if both else here, here, default_zone="UTC")
        pushes.append((at + rng.choice([0, 0, 1, 30]) * HOUR, here))
    return sum(
        shown(one, zone) == shown(other, zone)
        for n, (one, of_one) in enumerate(pushes)
        for other, of_other in pushes[n + 1 :]
        for zone in (of_one, of_other)
    )


def test_who_moves_gains_no_week() -> None:
    assert sum(breaches(Random(seed), both=True) for seed in range(500)) == 0
    assert sum(breaches(Random(seed), both=False) for seed in range(500)) > 0


@pytest.mark.soak
def test_who_moves_a_hundred_thousand_times_gains_no_week() -> None:
    assert sum(breaches(Random(seed), both=True) for seed in range(20_000)) == 0


def test_sunday_night_and_monday_morning_are_26_hours_apart() -> None:
    sunday = datetime(2026, 11, 29, 22, tzinfo=UTC)
    assert first_free(sunday, "UTC", "UTC", default_zone="UTC") == sunday + 26 * HOUR
    monday = datetime(2026, 11, 23, tzinfo=UTC)
    assert first_free(monday, "UTC", "UTC", default_zone="UTC") == monday + 7 * DAY


def test_the_least_gap_is_the_one_that_the_ledger_holds() -> None:
    assert LEAST_GAP / HOUR == tables.LEAST_GAP / LEDGER_HOUR == 26


@pytest.mark.parametrize("zone", [None, "", "Europe", "Mars/Base", "GMT+8"])
def test_without_a_known_zone_the_default_one_counts(zone: str | None) -> None:
    midnight = datetime(2026, 11, 29, 15, tzinfo=UTC)  # Monday, 00:00 in Tokyo
    before, after = (week_of(at, zone, default_zone="Asia/Tokyo")
                     for at in (midnight - TICK, midnight))  # fmt: skip
    assert after == before + 1
    assert first_free(midnight - 2 * DAY, zone, "UTC", default_zone="Asia/Tokyo") == (
        midnight + 9 * HOUR
    )


def test_a_skipped_midnight_ends_the_week_when_the_clock_is_set() -> None:
    change = datetime(1997, 10, 6, 3, tzinfo=UTC)  # São Paulo, a Monday: 00:00 becomes 01:00
    zone = "America/Sao_Paulo"
    assert first_free(change - 3 * DAY, zone, zone, default_zone="UTC") == change
    assert not weeks_apart(change - 3 * DAY, zone, change - TICK, zone, default_zone="UTC")
