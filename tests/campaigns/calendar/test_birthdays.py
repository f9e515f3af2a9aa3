"""Against an oracle that reads the date off every wall, hour by hour."""

from calendar import isleap
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from random import Random
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.calendar.birthdays import LONGEST_DAY, Born, birthday_in, parties
from campaigns.calendar.schedule import Leap

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
ZONES = sorted(available_timezones() - {"Factory", "localtime"})
FAR = ["Etc/GMT+12", "Pacific/Pago_Pago", "America/Havana", "UTC", "Africa/Cairo", "Asia/Kathmandu",
       "Pacific/Chatham", "Pacific/Kiritimati", "Etc/GMT-14", None, "Mars/Base"]  # fmt: skip
LEAP_DAY = date(1996, 2, 29)


def runs(begin: datetime, end: datetime, rng: Random) -> list[datetime]:
    """Instants at which a scheduler looks, a few hours apart."""
    at, found = begin, [begin]
    while at < end:
        at += rng.choice([0.02, 0.5, 1, 5, 11]) * HOUR
        found.append(at)
    return found


@pytest.mark.parametrize(("leap", "days"), [("28-february", (2, 28)), ("1-march", (3, 1))], ids=str)
def test_who_was_born_on_29_february_has_one_birthday_a_year_anywhere(
    leap: Leap, days: tuple[int, int]
) -> None:
    members = [Born(str(zone), LEAP_DAY, zone) for zone in FAR]
    looks = runs(datetime(2025, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC), Random(7))
    had: dict[str, list[date]] = {one.member_id: [] for one in members}
    for after, until in pairwise(looks):
        for party in parties(members, leap, after=after, until=until, default_zone="Asia/Tokyo"):
            assert after < party.window.starts_at <= until
            for member in party.members:
                zone = ZoneInfo(member if member in ZONES else "Asia/Tokyo")
                at = party.window.starts_at
                while at < party.window.ends_at:  # the whole window lies on the day
                    assert (
                        at.astimezone(zone).date() == party.window.starts_at.astimezone(zone).date()
                    )
                    at += HOUR / 4
                had[member].append(party.window.starts_at.astimezone(zone).date())
    expected = [date(2025, *days), date(2026, *days), date(2027, *days), date(2028, 2, 29)]
    assert had == {one.member_id: expected for one in members}


@settings(deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    birthday=st.dates(date(1930, 1, 1), date(2025, 12, 31)),
    leap=st.sampled_from(["28-february", "1-march"]),
    year=st.integers(2025, 2028),
    seed=st.integers(0, 99),
)
def test_anyone_has_one_birthday_a_year_on_their_own_date(
    zone: str, birthday: date, leap: Leap, year: int, seed: int
) -> None:
    day = birthday_in(year, birthday, leap)
    noon = datetime(year, day.month, day.day, 12, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    looks = runs(noon - 72 * HOUR, noon + 72 * HOUR, Random(seed))
    found = [
        party
        for after, until in pairwise(looks)
        for party in parties(
            [Born("m", birthday, zone)], leap, after=after, until=until, default_zone="UTC"
        )
    ]
    assert len(found) == 1
    window = found[0].window
    assert window.starts_at <= noon < window.ends_at <= window.starts_at + LONGEST_DAY
    tick = timedelta(microseconds=1)
    shown = [
        at.astimezone(ZoneInfo(zone)).date()
        for at in (window.starts_at - tick, window.starts_at, window.ends_at - tick, window.ends_at)
    ]
    assert shown == [day - 24 * HOUR, day, day, day + 24 * HOUR]


def walls(zone: str, first: datetime, days: int) -> dict[date, list[datetime]]:
    """Date that the wall shows → the quarter hours at which it does."""
    found: dict[date, list[datetime]] = {}
    for n in range(days * 96):
        at = first + n * HOUR / 4
        found.setdefault(at.astimezone(ZoneInfo(zone)).date(), []).append(at)
    return found


def changes(zone: str, years: range) -> Iterator[datetime]:
    """Three days before each clock change and each 28 February."""
    day = datetime(years[0], 1, 1, tzinfo=UTC)
    while day.year in years:
        offsets = {(day + n * DAY).astimezone(ZoneInfo(zone)).utcoffset() for n in (0, 1)}
        if len(offsets) > 1 or (day.month, day.day) == (2, 28):
            yield day - 3 * DAY
        day += DAY


def compare(zone: str, years: range) -> int:
    """Everyone born on a day of these weeks, against the wall; returns how many were looked at."""
    looked = 0
    for first in changes(zone, years):
        shown = walls(zone, first, 8)
        for day in sorted(shown)[1:-1]:
            for leap in ("28-february", "1-march"):
                looked += has_party(zone, day, shown[day], leap)
    return looked


def has_party(zone: str, day: date, shown: list[datetime], leap: Leap) -> bool:
    """One birthday, from the first to the last quarter hour of the day; two in one on a leap day's
    stand-in."""
    born = [
        Born("m", day.replace(year=1990) if (day.month, day.day) != (2, 29) else LEAP_DAY, zone)
    ]
    stand_in = (2, 28) if leap == "28-february" else (3, 1)
    leaps = (day.month, day.day) == stand_in and not isleap(day.year)
    leapling = [Born("leapling", LEAP_DAY, zone)] if leaps else []
    begin = shown[0]
    found = parties(born + leapling, leap, after=begin - HOUR, until=begin, default_zone="UTC")
    assert [party.members for party in found] == [[one.member_id for one in born + leapling]]
    window = found[0].window
    assert (window.starts_at, window.ends_at) == (begin, shown[-1] + HOUR / 4), (zone, day)
    return True


@pytest.mark.parametrize("zone", [zone for zone in FAR if zone in ZONES])
def test_the_birthdays_of_clock_changes_agree_with_the_wall(zone: str) -> None:
    compare(zone, range(2027, 2029))


@pytest.mark.soak
def test_all_zones_agree_with_the_wall_from_2025_to_2030() -> None:
    assert sum(compare(zone, range(2025, 2031)) for zone in ZONES) > 60_000


def test_one_occasion_ends_with_the_first_of_its_days_to_end() -> None:
    """2026-10-25 has 25 hours in Berlin, 24 in Tripoli; both begin at the same instant."""
    birthday = date(2000, 10, 25)
    begins = datetime(2026, 10, 24, 22, tzinfo=UTC)
    for zones in (["Europe/Berlin", "Africa/Tripoli"], ["Africa/Tripoli", "Europe/Berlin"]):
        members = [Born(zone, birthday, zone) for zone in zones]
        (party,) = parties(
            members, "1-march", after=begins - HOUR, until=begins, default_zone="UTC"
        )
        assert party.window.ends_at == begins + 24 * HOUR
        assert party.members == zones
