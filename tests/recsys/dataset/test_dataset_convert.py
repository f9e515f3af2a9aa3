from datetime import UTC, date, datetime, timedelta, timezone

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.dataset.convert import converted
from recsys.dataset.tables import FLAG, NUMBER, NUMBERS, TEXT, TEXTS, TIME, WHOLE, Column


def convert(values: pl.Series, column: Column, timezone: str | None = None) -> list[object]:
    frame = values.to_frame(column.name)
    expr = converted(column, pl.col(column.name), values.dtype, timezone=timezone)
    assert expr is not None
    found = frame.select(expr).to_series()
    assert found.dtype == column.dtype
    return found.to_list()


def instant(text: str, timezone: str | None = None, *, ends: bool = False) -> object:
    return convert(pl.Series([text]), Column("at", TIME, ends=ends), timezone)[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2024-05-01T10:00:00Z", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("2024-05-01 10:00z", datetime(2024, 5, 1, 10, tzinfo=UTC)),
        ("2024-05-01T10:00:00.25+02:00", datetime(2024, 5, 1, 8, 0, 0, 250_000, tzinfo=UTC)),
        ("2024-05-01T10:00:00,5 -0330", datetime(2024, 5, 1, 13, 30, 0, 500_000, tzinfo=UTC)),
        ("2024-05-01T10:00:00+02", datetime(2024, 5, 1, 8, tzinfo=UTC)),
        ("2024-02-30T10:00:00Z", None),
        ("2024-05-01T25:00:00Z", None),
        ("01.05.2024 10:00", None),
        ("1714557600", None),
    ],
)
def test_iso_times_become_instants_and_others_null(text: str, expected: datetime | None) -> None:
    assert instant(text) == expected


@given(
    st.datetimes(
        datetime.fromisoformat("1990-01-01"),
        datetime.fromisoformat("2100-01-01"),
        timezones=st.integers(-839, 839).map(lambda m: timezone(timedelta(minutes=m))),
    )
)
def test_what_python_writes_as_iso_is_read_as_the_same_instant(at: datetime) -> None:
    assert instant(at.isoformat()) == at


def test_a_local_time_that_happened_twice_is_the_first() -> None:
    assert instant("2024-11-03T01:30", "America/New_York") == datetime(
        2024, 11, 3, 5, 30, tzinfo=UTC
    )


def test_a_local_time_that_was_skipped_is_no_time() -> None:
    assert instant("2024-03-10T02:30", "America/New_York") is None


def test_an_offset_in_the_text_wins_over_the_zone() -> None:
    assert instant("2024-03-10T02:30Z", "America/New_York") == datetime(
        2024, 3, 10, 2, 30, tzinfo=UTC
    )


@pytest.mark.parametrize("day", ["2024-01-31", date(2024, 1, 31)])
def test_a_day_that_ends_something_belongs_to_it(day: str | date) -> None:
    column = Column("ends_at", TIME, ends=True)
    midnight = datetime(2024, 2, 1, 5, tzinfo=UTC)
    assert convert(pl.Series([day]), column, "America/New_York") == [midnight]
    assert instant("2024-01-31T00:00Z", ends=True) == datetime(2024, 1, 31, tzinfo=UTC)


def test_typed_times_are_taken_to_utc_microseconds() -> None:
    tokyo = pl.Series([datetime.fromisoformat("2024-05-01T10:00")]).dt.replace_time_zone(
        "Asia/Tokyo"
    )
    expected = [datetime(2024, 5, 1, 1, tzinfo=UTC)]
    assert convert(tokyo.dt.cast_time_unit("ns"), Column("at", TIME)) == expected
    assert convert(tokyo.dt.replace_time_zone(None), Column("at", TIME), "Asia/Tokyo") == expected


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pl.Series([7, None]), ["7", None]),
        (pl.Series([7.0, None, 7.5]), ["7", None, None]),
        (pl.Series(["7", "a"], dtype=pl.Categorical), ["7", "a"]),
    ],
)
def test_ids_become_text_also_from_numbers(values: pl.Series, expected: list[str | None]) -> None:
    assert convert(values, Column("product_id", TEXT)) == expected


def test_flags_are_read_in_their_usual_spellings() -> None:
    yes, no = ["true", "TRUE", "t", "Yes", "y", "1"], ["false", "False", "f", "NO", "n", "0"]
    column = Column("in_stock", FLAG)
    assert convert(pl.Series(yes), column) == [True] * 6
    assert convert(pl.Series(no), column) == [False] * 6
    assert convert(pl.Series([1, 0, 2, None]), column) == [True, False, None, None]


def test_lists_are_read_from_json_and_from_bars() -> None:
    texts = ['["a","b|c"]', "[1, 2]", "[]", "a|b", "a", '["a"', None]
    expected = [["a", "b|c"], ["1", "2"], [], ["a", "b"], ["a"], None, None]
    assert convert(pl.Series(texts), Column("product_ids", TEXTS)) == expected
    assert convert(pl.Series(["[0.5, 1]", "1|x"]), Column("propensities", NUMBERS)) == [
        [0.5, 1.0],
        None,
    ]


def test_whole_numbers_may_be_written_with_a_point() -> None:
    assert convert(pl.Series(["3", "3.0", "3.5", ""]), Column("max_issues", WHOLE)) == [
        3,
        3,
        None,
        None,
    ]


def test_a_type_that_cannot_hold_the_column_is_said() -> None:
    at = pl.Datetime("us", "UTC")
    assert converted(Column("price", NUMBER), pl.col("price"), at, timezone=None) is None
    assert converted(Column("title", TEXT), pl.col("title"), at, timezone=None) is None
