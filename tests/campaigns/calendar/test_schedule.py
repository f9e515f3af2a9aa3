from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from campaigns.calendar.schedule import Repeated, Schedule

CHECKED = TypeAdapter[Any](Schedule)
HOUR = timedelta(hours=1)
ZONES = sorted(available_timezones() - {"Factory", "localtime"})
DAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]


def schedule(**changes: object) -> Repeated:
    facts = {"every": "week", "day": "friday", "at": "10:00", "zone": "Europe/Berlin", "hours": 48}
    made: Repeated = CHECKED.validate_python(facts | changes)
    return made


def starts(one: Repeated, first: datetime, last: datetime) -> list[datetime]:
    return [window.starts_at for window in one.windows(first, last)]


def test_a_week_comes_round_at_the_same_time_on_the_wall() -> None:
    found = starts(schedule(), datetime(2026, 3, 20, tzinfo=UTC), datetime(2026, 4, 4, tzinfo=UTC))
    assert found == [
        datetime(2026, 3, 20, 9, tzinfo=UTC),
        datetime(2026, 3, 27, 9, tzinfo=UTC),
        datetime(2026, 4, 3, 8, tzinfo=UTC),  # summer time
    ]


def test_a_window_is_open_for_its_hours() -> None:
    (window,) = schedule(hours=1.5).windows(
        datetime(2026, 3, 20, tzinfo=UTC), datetime(2026, 3, 21, tzinfo=UTC)
    )
    assert window.ends_at - window.starts_at == timedelta(minutes=90)


def test_a_member_day_is_the_first_saturday_of_each_month() -> None:
    one = schedule(every="month", nth=1, day="saturday", zone="UTC")
    found = starts(one, datetime(2025, 1, 1, tzinfo=UTC), datetime(2029, 1, 1, tzinfo=UTC))
    assert len(found) == 48
    assert [(at.year, at.month) for at in found] == [
        (year, month) for year in range(2025, 2029) for month in range(1, 13)
    ]
    assert all(at.isoweekday() == 6 and at.day <= 7 for at in found)


def test_holidays_are_the_dates_of_the_list() -> None:
    facts = {"every": "holiday", "at": "09:30", "zone": "Asia/Shanghai", "hours": 14,
             "days": {"singles": "2026-11-11", "new year": date(2027, 1, 1)}}  # fmt: skip
    one = CHECKED.validate_python(facts)
    found = starts(one, datetime(2026, 1, 1, tzinfo=UTC), datetime(2028, 1, 1, tzinfo=UTC))
    assert found == [
        datetime(2026, 11, 11, 1, 30, tzinfo=UTC),
        datetime(2027, 1, 1, 1, 30, tzinfo=UTC),
    ]


@given(
    zone=st.sampled_from(ZONES),
    minute=st.integers(60, 24 * 60 - 1),
    day=st.sampled_from(DAYS),
    first=st.integers(0, 6 * 365 * 24).map(lambda n: datetime(2025, 1, 1, tzinfo=UTC) + n * HOUR),
    steps=st.lists(st.floats(0, 15 * 24), min_size=2, max_size=2),
)
def test_looking_in_two_steps_finds_what_one_step_finds(
    zone: str, minute: int, day: str, first: datetime, steps: list[float]
) -> None:
    one = schedule(zone=zone, at=minute, day=day)
    between, last = first + steps[0] * HOUR, first + sum(steps) * HOUR
    whole = starts(one, first, last)
    assert whole == starts(one, first, between) + starts(one, between, last)
    weeks = (last - first) / timedelta(days=7)
    assert weeks - 1.01 < len(whole) < weeks + 1.01
    for at in whole:
        wall = at.astimezone(ZoneInfo(zone))
        assert DAYS[wall.weekday()] == day
        # A clock change that skips the time moves it by no more than its own size.
        assert wall.hour * 60 + wall.minute - minute in (0, 30, 60)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"every": "fortnight"}, "'week', 'month', 'holiday', 'birthday'"),
        ({"day": "fryday"}, "'friday'"),
        ({"zone": "Mars/Base"}, "no IANA zone"),
        ({"at": "10"}, "valid time"),
        ({"at": 10}, "valid time"),
        ({"at": "25:00"}, "valid time"),
        ({"at": "10:00Z"}, "without a zone"),
        ({"hours": 0}, "greater than 0"),
        ({"hours": 169}, "less than or equal to 168"),
        ({"nth": 1}, "Extra inputs"),
        ({"every": "month", "nth": 5}, "less than or equal to 4"),
        ({"every": "birthday"}, "Extra inputs"),
    ],
)
def test_a_schedule_that_cannot_be_kept_is_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        schedule(**changes)


def test_a_time_without_quotes_is_what_it_looks_like() -> None:
    assert schedule(at=630) == schedule(at="10:30")
