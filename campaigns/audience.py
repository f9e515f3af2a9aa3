"""Who a campaign is for: a filter over members' attributes and what they did before now."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from campaigns.ledger.history import NOTHING, histories
from campaigns.ledger.ledger import Ledger
from recsys.filters import Filter

_SUMMARY = ("orders", "spend", "products", "days_since_first_order", "days_since_last_order")
_PUSHED = ("pushes", "days_since_last_push", "redemptions")
_DAY = timedelta(days=1)


class Tables(Protocol):
    """What this package reads of a dataset."""

    def has(self, table: str, /) -> bool:
        """Whether the table is there."""

    def scan(self, table: str, /) -> pl.LazyFrame:
        """The table's declared columns; missing optional ones are null."""

    def known(
        self, table: str, as_of: datetime | None, /, *, undated: bool = False
    ) -> pl.DataFrame:
        """Products or members as known before an instant, one row an id; `undated` rows count
        wholly where they are trusted."""


def audience_fields(dataset: Tables) -> list[str]:
    """All that an audience may ask for."""
    attributes = dataset.scan("members").collect_schema().names()
    return [*attributes, *_SUMMARY, *_PUSHED]


def member_table(dataset: Tables, *, now: datetime) -> pl.DataFrame:
    """One row for each member known before now, by member_id: attributes and summary.

    Summary: orders, spend, products (distinct), days_since_first_order, days_since_last_order
    (null without an order). Attributes keep their names; dates become ISO text.
    """
    past = _summary(dataset, now)
    return (
        dataset.known("members", now, undated=True)  # a campaign is planned in the present
        .lazy()
        .join(past, on="member_id", how="full", coalesce=True)
        .with_columns(pl.col("orders", "spend", "products").fill_null(0))
        .collect()
        .sort("member_id")
    )


def _summary(dataset: Tables, now: datetime) -> pl.LazyFrame:
    bought = pl.col("kind") == "purchase"
    order = pl.coalesce("order_id", pl.col("occurred_at").cast(pl.String))
    when = pl.col("occurred_at").filter(bought)
    days = 86_400 * 1_000_000
    return (
        dataset.scan("events")
        .filter(pl.col("member_id").is_not_null() & (pl.col("occurred_at") < now))
        .group_by("member_id")
        .agg(
            order.filter(bought).n_unique().cast(pl.Float64).alias("orders"),
            pl.col("amount").filter(bought).sum().cast(pl.Float64).alias("spend"),
            pl.col("product_id").filter(bought).n_unique().cast(pl.Float64).alias("products"),
            *(
                ((pl.lit(now) - edge).dt.total_microseconds() / days).alias(f"days_since_{name}")
                for name, edge in (("first_order", when.min()), ("last_order", when.max()))
            ),
        )
    )


def with_pushes(members: pl.DataFrame, ledger: Ledger, *, now: datetime) -> pl.DataFrame:
    """The member table and what the ledger knows: pushes, days_since_last_push, redemptions."""
    known, person = histories(ledger), ledger.identity.person
    past = [known.get(person(member), NOTHING) for member in members["member_id"].to_list()]
    since = [None if one.last_push is None else (now - one.last_push) / _DAY for one in past]
    return members.with_columns(
        pl.Series("pushes", [one.pushes for one in past], pl.Float64),
        pl.Series("days_since_last_push", since, pl.Float64),
        pl.Series("redemptions", [one.redemptions for one in past], pl.Float64),
    )


def columns(members: pl.DataFrame) -> dict[str, NDArray[Any]]:
    """The member table as the filter reads it."""
    return {name: _column(members[name]) for name in members.columns}


def _column(series: pl.Series) -> NDArray[Any]:
    if series.dtype.is_numeric():
        return series.cast(pl.Float64).fill_null(np.nan).to_numpy()
    if series.dtype.is_temporal():
        series = series.dt.to_string("iso")
    elif series.dtype != pl.Boolean:
        series = series.cast(pl.String)
    return np.array(series.to_list(), dtype=object)


def in_audience(members: pl.DataFrame, rule: Filter | None) -> NDArray[np.bool_]:
    """Rows of the member table that the campaign is for; FilterError for an unknown field."""
    if rule is None:
        return np.ones(len(members), np.bool_)
    table: Mapping[str, NDArray[Any]] = columns(members.select(*_used(members, rule)))
    return rule.mask(table)


def asks_for_pushes(rule: Filter | None) -> bool:
    """Whether a filter needs what `with_pushes` adds."""
    return rule is not None and not rule.fields.isdisjoint(_PUSHED)


def _used(members: pl.DataFrame, rule: Filter) -> list[str]:
    rule.check(members.columns)
    return sorted(rule.fields) or members.columns[:1]
