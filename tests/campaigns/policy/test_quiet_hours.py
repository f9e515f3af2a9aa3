"""Against an oracle that looks at the wall in every minute of the weeks around clock changes."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from campaigns.policy.quiet_hours import QuietHours, known_zone
from campaigns.settings import CampaignSettings

HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
ODD = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Antarctica/Troll",
       "Africa/Casablanca", "America/Santiago", "Africa/Cairo", "Pacific/Chatham", "Asia/Kathmandu",
       "Asia/Shanghai"]  # fmt: skip
SPANS = [
    (time(21), time(9)),
    (time(0), time(7)),
    (time(23), time(0)),
    (time(2), time(3)),  # what a spring night skips, and an autumn night has twice
    (time(2, 30), time(2)),
    (time(22, 15), time(1, 45)),
    (time(12), time(12)),
]


def first_days(zone: ZoneInfo, years: Sequence[int]) -> Iterator[datetime]:
    """Three days before each day with a clock change; one week of a zone that has none."""
    day, end = datetime(years[0], 1, 1, tzinfo=UTC), datetime(years[-1] + 1, 1, 1, tzinfo=UTC)
    found = False
    while day < end:
        after = day + timedelta(days=1)
        if day.astimezone(zone).utcoffset() != after.astimezone(zone).utcoffset():
            found = True
            yield day - timedelta(days=3)
        day = after
    if not found:
        yield datetime(years[0], 1, 1, tzinfo=UTC)


def compare(name: str, first: datetime, spans: Sequence[tuple[time, time]]) -> int:
    """Each half hour of seven days from `first`; returns how many were looked at."""
    zone = ZoneInfo(name)
    minutes = [first + n * MINUTE for n in range(9 * 24 * 60)]
    shown = [one.astimezone(zone) for one in minutes]
    wall = np.array([one.hour * 60 + one.minute for one in shown])
    looked = 0
    for begins, ends in spans:
        hours = QuietHours(begins, ends)
        low, high = (at.hour * 60 + at.minute for at in (begins, ends))
        quiet = (low <= wall) & (wall < high) if low <= high else (wall >= low) | (wall < high)
        next_awake, next_quiet = (
            np.minimum.accumulate(np.where(true, np.arange(len(wall)), 10**9)[::-1])[::-1]
            for true in (~quiet, quiet)
        )
        for n in range(0, 7 * 24 * 60, 30):
            at = minutes[n]
            assert hours.is_quiet(at, name) == quiet[n], (name, at, begins, ends)
            assert hours.next_awake(at, name) == minutes[next_awake[n]], (name, at, begins, ends)
            left = timedelta.max if next_quiet[n] == 10**9 else minutes[next_quiet[n]] - minutes[n]
            assert hours.time_left(at, name) == left, (name, at, begins, ends)
            looked += 1
    return looked


@pytest.mark.parametrize("name", ODD)
def test_the_weeks_of_clock_changes_agree_with_the_wall(name: str) -> None:
    for first in first_days(ZoneInfo(name), [2026]):
        compare(name, first, SPANS)


@pytest.mark.soak
def test_all_zones_agree_with_the_wall_from_2025_to_2030() -> None:
    looked = 0
    for name in sorted(available_timezones() - {"Factory", "localtime"}):
        for first in first_days(ZoneInfo(name), range(2025, 2031)):
            looked += compare(name, first, SPANS)
    assert looked > 1_000_000


zones = st.sampled_from(sorted(available_timezones() - {"Factory", "localtime"}))
times = st.times().map(lambda at: at.replace(microsecond=0))
instants = st.integers(0, 6 * 365 * 86_400_000_000).map(
    lambda micros: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
)
TICK = timedelta(microseconds=1)


@given(zone=st.none() | zones, begins=times, ends=times, at=instants)
def test_the_edges_are_exact(
    zone: str | None, begins: time, ends: time, at: datetime
) -> None:  # fmt: skip
    hours = QuietHours(begins, ends, margin=timedelta(0))
    awake = hours.next_awake(at, zone)
    assert awake >= at
    assert not hours.is_quiet(awake, zone)
    if awake > at:
        assert hours.is_quiet(awake - TICK, zone)
        assert hours.time_left(at, zone) == timedelta(0)
    left = hours.time_left(awake, zone)
    if begins == ends:
        assert left == timedelta.max
    else:
        assert hours.is_quiet(awake + left, zone)
        assert not hours.is_quiet(awake + left - TICK, zone)


def test_where_the_clock_skips_the_edge_the_change_is_the_edge() -> None:
    change = datetime(2026, 3, 29, 1, tzinfo=UTC)  # Berlin: 02:00 becomes 03:00
    hours = QuietHours(time(21), time(2, 30))
    assert hours.next_awake(change - HOUR, "Europe/Berlin") == change
    hours = QuietHours(time(2, 30), time(9))
    assert hours.time_left(change - HOUR, "Europe/Berlin") == HOUR


def test_an_hour_that_comes_twice_is_quiet_twice() -> None:
    hours = QuietHours(time(2), time(3))
    first = datetime(2026, 10, 25, 0, tzinfo=UTC)  # Berlin shows 02:00, and an hour later again
    assert hours.next_awake(first, "Europe/Berlin") == first + 2 * HOUR
    assert hours.next_awake(first + timedelta(minutes=90), "Europe/Berlin") == first + 2 * HOUR


@pytest.mark.parametrize(
    "zone", [None, "", "Europe", "Europe/Atlantis", "../etc/passwd", "/etc/passwd", "Factory",
             "localtime", "a\0b", "Ünknown/Zone"],
)  # fmt: skip
def test_without_a_known_zone_the_default_one_is_widened(zone: str | None) -> None:
    assert known_zone(zone) is None
    hours = QuietHours(time(21), time(9), "America/Chicago", 2 * HOUR)
    day = datetime(2026, 6, 1, tzinfo=UTC)  # Chicago is at UTC-5
    assert not hours.is_quiet(day + 24 * HOUR - TICK, zone)
    assert hours.is_quiet(day, zone)
    assert hours.is_quiet(day + 16 * HOUR - TICK, zone)
    assert hours.next_awake(day, zone) == day + 16 * HOUR
    assert hours.time_left(day + 20 * HOUR, zone) == 4 * HOUR
    assert not hours.is_quiet(day, "America/Los_Angeles")


def test_a_member_of_a_zone_within_the_margin_is_quiet_when_it_is_unknown_too() -> None:
    hours = QuietHours(default_zone="America/Chicago")
    for n in range(366 * 24):
        at = datetime(2026, 1, 1, tzinfo=UTC) + n * HOUR
        if any(hours.is_quiet(at, zone) for zone in ("America/New_York", "America/Los_Angeles")):
            assert hours.is_quiet(at, None)


def test_the_settings_make_the_hours() -> None:
    settings = CampaignSettings.model_validate(
        {"quiet_from": "22:30", "quiet_until": "08:15", "quiet_zone": "Asia/Tokyo",
         "quiet_margin_hours": "0.5"}
    )  # fmt: skip
    expected = QuietHours(time(22, 30), time(8, 15), "Asia/Tokyo", timedelta(minutes=30))
    assert settings.quiet_hours == expected
    assert CampaignSettings().quiet_hours == QuietHours()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"quiet_from": "21"}, "write it as 21:00"),
        ({"quiet_until": "24:00"}, "write it as 21:00"),
        ({"quiet_from": "21:00Z"}, "write it as 21:00"),
        ({"quiet_zone": "Mars/Base"}, "no IANA zone"),
        ({"quiet_margin_hours": 5.6}, "less than an hour"),
        ({"quiet_from": "09:30", "quiet_until": "09:00"}, "less than an hour"),
    ],
)
def test_settings_that_cannot_be_kept_are_refused(
    changes: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint):
        CampaignSettings.model_validate(changes)
