"""One column of a file as its declared type; what cannot be converted becomes null."""

from collections.abc import Callable

import polars as pl

from recsys.dataset.tables import DAY, FLAG, NUMBER, NUMBERS, TEXT, TEXTS, TIME, WHOLE, Column

# date, hours and minutes, seconds, offset: the part of ISO 8601 that exports are written in
_ISO = (
    r"^(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d)(:\d\d(?:[.,]\d{1,9})?)?)?"
    r"(?: ?([Zz]|[+-]\d\d(?::?\d\d)?))?$"
)
_JSON_ITEM = r'(?:"(?:[^"\\]|\\["\\/bfnrt]|\\u[0-9a-fA-F]{4})*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)'
_JSON_LIST = rf"^\[\s*(?:{_JSON_ITEM}(?:\s*,\s*{_JSON_ITEM})*)?\s*\]$"
_FLAGS = {"true": True, "t": True, "yes": True, "y": True, "1": True} | {
    "false": False,
    "f": False,
    "no": False,
    "n": False,
    "0": False,
}
_MEANING = {
    NUMBER: "not a number",
    WHOLE: "not a whole number",
    FLAG: "not true or false",
    DAY: "not a date like 1990-12-31",
    TIME: "not an ISO 8601 time",
}


def complaint(column: Column, timezone: str | None) -> str:
    """What is wrong with a value that `converted` turned into null."""
    text = _MEANING.get(column.dtype, "not a list: JSON, or a|b|c")
    if column.dtype == TIME and timezone is not None:
        return f"{text}, or one that {timezone} skips"
    return text


def zoneless(text: pl.Expr) -> pl.Expr:
    """True where text is a time without an offset."""
    parsed = text.str.strip_chars().str.extract_groups(_ISO)
    return parsed.struct.field("1").is_not_null() & parsed.struct.field("4").is_null()


def is_naive(column: Column, source: pl.DataType) -> bool:
    """Whether the file's own type is a time without a zone."""
    if column.dtype != TIME:
        return False
    return source == DAY or (isinstance(source, pl.Datetime) and source.time_zone is None)


def converted(
    column: Column, value: pl.Expr, source: pl.DataType, *, timezone: str | None
) -> pl.Expr | None:
    """`value` as the column's declared type, or None if nothing of type `source` can become it.

    A naive time is read in `timezone`. Where its clock was set back and a time happened twice,
    the earlier instant is taken; a time that the clock skipped becomes null.
    """
    if isinstance(source, (pl.Categorical, pl.Enum)):
        value, source = value.cast(TEXT), TEXT
    if source in (column.dtype, pl.Null):
        return value if source == column.dtype else value.cast(column.dtype)
    if column.dtype == TIME:
        return _time(value, source, timezone=timezone, ends=column.ends)
    return _PLAIN[column.dtype](value, source)


def _text(value: pl.Expr, source: pl.DataType) -> pl.Expr | None:
    if source.is_integer():
        return value.cast(pl.String)
    if source.is_float():
        # A column of whole ids with gaps comes out of pandas as floats.
        return pl.when(value == value.floor()).then(value.cast(pl.Int64, strict=False)).cast(TEXT)
    return None


def _number(value: pl.Expr, source: pl.DataType) -> pl.Expr | None:
    if source == TEXT:
        value = value.str.strip_chars()
    elif not source.is_numeric():
        return None
    return value.cast(NUMBER, strict=False)


def _whole(value: pl.Expr, source: pl.DataType) -> pl.Expr | None:
    number = _number(value, source)
    if number is None:
        return None
    return pl.when(number == number.floor()).then(number).cast(WHOLE, strict=False)


def _flag(value: pl.Expr, source: pl.DataType) -> pl.Expr | None:
    if source.is_numeric():
        return pl.when(value.is_in([0, 1])).then(value == 1)
    if source == TEXT:
        text = value.str.strip_chars().str.to_lowercase()
        return text.replace_strict(_FLAGS, default=None, return_dtype=FLAG)
    return None


def _day(value: pl.Expr, source: pl.DataType) -> pl.Expr | None:
    if isinstance(source, pl.Datetime):
        return value.dt.date()
    if source == TEXT:
        return value.str.strip_chars().str.to_date("%Y-%m-%d", strict=False)
    return None


def _time(
    value: pl.Expr, source: pl.DataType, *, timezone: str | None, ends: bool
) -> pl.Expr | None:
    if isinstance(source, pl.Datetime):
        local = value.dt.cast_time_unit("us")
        if source.time_zone is not None:
            return local.dt.convert_time_zone("UTC")
        return None if timezone is None else _in_zone(local, timezone)
    if source == DAY:
        local = value.cast(pl.Datetime("us"))
        local = local.dt.offset_by("1d") if ends else local
        return None if timezone is None else _in_zone(local, timezone)
    if source != TEXT:
        return None
    groups = value.str.strip_chars().str.extract_groups(_ISO)
    clock, offset = groups.struct.field("2"), groups.struct.field("4")
    iso = pl.concat_str(
        groups.struct.field("1"),
        clock.fill_null("00:00"),
        groups.struct.field("3").fill_null(":00").str.replace(",", ".", literal=True),
    )
    local = iso.str.to_datetime("%Y-%m-%d%H:%M:%S%.f", time_unit="us", strict=False)
    if ends:
        local = pl.when(clock.is_null()).then(local.dt.offset_by("1d")).otherwise(local)
    digits = offset.str.replace(":", "", literal=True)
    minutes = digits.str.slice(1, 2).cast(pl.Int64, strict=False) * 60 + digits.str.slice(
        3, 2
    ).cast(pl.Int64, strict=False).fill_null(0)
    east = (
        pl.when(offset.str.to_lowercase() == "z")
        .then(0)
        .when(digits.str.starts_with("-"))
        .then(-minutes)
        .otherwise(minutes)
    )
    exact = (local - pl.duration(minutes=east)).dt.replace_time_zone("UTC")
    if timezone is None:
        return exact
    return pl.when(offset.is_null()).then(_in_zone(local, timezone)).otherwise(exact)


def _in_zone(local: pl.Expr, timezone: str) -> pl.Expr:
    aware = local.dt.replace_time_zone(timezone, ambiguous="earliest", non_existent="null")
    return aware.dt.convert_time_zone("UTC")


def _texts(value: pl.Expr, source: pl.DataType) -> pl.Expr | None:
    if isinstance(source, pl.List):
        return value.cast(TEXTS, strict=False)
    if source != TEXT:
        return None
    text = value.str.strip_chars()
    json = pl.when(text.str.contains(_JSON_LIST)).then(text).str.json_decode(TEXTS)
    bars = pl.when(~text.str.starts_with("[")).then(text).str.split("|")
    return pl.coalesce(json, bars)


def _numbers(value: pl.Expr, source: pl.DataType) -> pl.Expr | None:
    texts = _texts(value, source)
    if texts is None:
        return None
    numbers = texts.cast(NUMBERS, strict=False)
    whole = numbers.list.eval(pl.element().is_null()).list.any().not_()
    return pl.when(whole).then(numbers)  # one item that is no number spoils the list


_PLAIN: dict[pl.DataType, Callable[[pl.Expr, pl.DataType], pl.Expr | None]] = {
    TEXT: _text,
    NUMBER: _number,
    WHOLE: _whole,
    FLAG: _flag,
    DAY: _day,
    TEXTS: _texts,
    NUMBERS: _numbers,
}
