"""What can be wrong with a row, as expressions over its typed columns and their raw values."""

from functools import cache
from zoneinfo import available_timezones

import polars as pl

from recsys.dataset.convert import complaint, zoneless
from recsys.dataset.tables import DAY, NUMBER, TEXT, TIME, Column, Rule, Table

OVERFLOW = "\0overflow"
"""What a line holds beyond its header's columns; a part may bring it along."""
NO_ZONE = "a time without a zone"

_YEARS: dict[pl.DataType, tuple[int, int]] = {TIME: (1990, 2100), DAY: (1900, 2100)}


def raw_name(name: str) -> str:
    """Where a column's value as it stands in the file is found, beside the typed one."""
    return f"\0raw {name}"


def rules_for(table: Table, schema: pl.Schema, timezone: str | None) -> list[Rule]:
    """What can be wrong with a row of a file with this schema, the likeliest cause first."""
    rules = []
    if OVERFLOW in schema:
        text = "more fields than the header: quote text that holds the separator"
        rules.append(Rule(OVERFLOW, text, pl.col(OVERFLOW).is_not_null()))
    for column in table.columns:
        if column.name in schema:
            rules += _value_rules(column, schema[column.name], timezone)
    return [*rules, *table.rules]


def _value_rules(column: Column, source: pl.DataType, timezone: str | None) -> list[Rule]:
    name = column.name
    value, raw = pl.col(name), pl.col(raw_name(name))
    rules = []
    if column.required:
        rules.append(Rule(name, "missing", raw.is_null()))
    if column.dtype == TIME and source == TEXT and timezone is None:
        rules.append(Rule(name, NO_ZONE, zoneless(raw)))
    if source != column.dtype:
        unread = value.is_null() & raw.is_not_null()
        rules.append(Rule(name, complaint(column, timezone), unread))
    if column.dtype == TEXT and name.endswith("_id"):
        rules.append(Rule(name, "an empty id", value.str.strip_chars() == ""))
    if column.allowed:
        known = value.is_in(list(column.allowed))
        rules.append(Rule(name, f"none of {', '.join(column.allowed)}", ~known))
    if column.zone:
        rules.append(Rule(name, "not an IANA time zone", ~value.is_in(_zones())))
    if column.dtype == NUMBER:
        rules.append(Rule(name, "not finite", ~value.is_finite()))
    if column.minimum is not None:
        rules.append(Rule(name, f"below {column.minimum:g}", value < column.minimum))
    if column.maximum is not None:
        rules.append(Rule(name, f"above {column.maximum:g}", value > column.maximum))
    if column.dtype in _YEARS:
        first, last = _YEARS[column.dtype]
        text = f"a year outside {first}–{last} (leave an open end empty)"
        rules.append(Rule(name, text, ~value.dt.year().is_between(first, last)))
    return rules


@cache
def _zones() -> list[str]:
    return sorted(available_timezones())
