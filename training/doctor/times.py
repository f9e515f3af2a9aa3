"""When it happened, and when it was known."""

from collections.abc import Iterator, Set
from datetime import datetime, timedelta

import polars as pl

from training.doctor.finding import Finding
from training.segments import COLUMNS

HOLE_DAYS = 14
"""longer than a shop shuts over holidays"""
SHORT_DAYS = 28
"""two horizons of a week to learn from, and some past before them"""
ONE_INSTANT = 0.5
TOLERANCE = timedelta(minutes=5)


def findings(
    log: pl.DataFrame,
    purchases: pl.DataFrame,
    promotions: pl.DataFrame,
    members: pl.DataFrame,
    *,
    static: Set[str],
    now: datetime,
) -> Iterator[Finding]:
    """Of times in the events, promotions and members tables."""
    yield from _future(log, now)
    yield from _order_of_time(purchases)
    yield from _holes(purchases)
    yield from _leaks(promotions, members, static)


def _future(log: pl.DataFrame, now: datetime) -> Iterator[Finding]:
    later = log.filter(pl.col("occurred_at") > now + TOLERANCE)
    if len(later):
        latest = later.sort("occurred_at")["occurred_at"][-1]
        yield Finding(
            "dates from the future", "error",
            f"{len(later):,} events are later than now, the last of {latest:%Y-%m-%d}: by default "
            "training takes the day after the last event for today",
            "check day and month, and the time zone of the export (import csv --timezone)",
        )  # fmt: skip


def _order_of_time(purchases: pl.DataFrame) -> Iterator[Finding]:
    if len(purchases) < 2:
        return
    common = purchases.group_by("occurred_at").len().sort("len").tail(1)
    share = common["len"][0] / len(purchases)
    if share > ONE_INSTANT:
        yield Finding(
            "one instant", "error",
            f"{share:.0%} of the purchases happened at {common['occurred_at'][0]:%Y-%m-%d %H:%M}: "
            "that is when they were exported, not when they were made",
            "export the time of the order; without one nothing is learned about what is due again",
        )  # fmt: skip
        return
    instants = purchases["occurred_at"].sort()
    days = (instants[-1] - instants[0]) / timedelta(days=1)
    if days < SHORT_DAYS:
        yield Finding(
            "a short log", "warning",
            f"purchases cover {days:.0f} days; four weeks before a date teach what comes after it",
            "import more of the past",
        )  # fmt: skip


def _holes(purchases: pl.DataFrame) -> Iterator[Finding]:
    days = purchases.select(pl.col("occurred_at").dt.date().alias("day")).unique().sort("day")
    holes = days.with_columns(
        (pl.col("day").shift(-1) - pl.col("day")).dt.total_days().alias("gap")
    ).filter(pl.col("gap") > HOLE_DAYS)
    if len(holes) and len(days) > SHORT_DAYS:
        yield Finding(
            "holes in the log", "warning",
            f"{len(holes):,} times more than {HOLE_DAYS} days pass without one purchase of anybody",
            "check whether part of the export is missing; ages and intervals are counted over it",
            tuple(f"after {day}" for day in holes["day"].head(3)),
        )  # fmt: skip


def _leaks(promotions: pl.DataFrame, members: pl.DataFrame, static: Set[str]) -> Iterator[Finding]:
    """What a past would be told although it was learned later."""
    early = promotions.filter(pl.col("known_from") > pl.col("starts_at"))
    if len(early):
        yield Finding(
            "promotions known late", "note",
            f"{len(early):,} promotions were known only after they had started, and count from "
            "then on",
            "set known_from to when the plan was made",
        )  # fmt: skip
    undated = members.filter(pl.col("valid_from").is_null())
    changing = [name for name in COLUMNS if name not in static]
    told = [name for name in changing if undated[name].is_not_null().any()]
    if told:
        yield Finding(
            "undated facts of members", "note",
            f"{', '.join(told)} of {len(undated):,} members have no valid_from: a past does not "
            "read them, since they may not have been true then",
            "add valid_from, one row for each change, or declare the columns that never change",
        )  # fmt: skip
