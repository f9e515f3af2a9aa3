"""Which list a click or a purchase goes back to.

An event that carries a `request_id` goes back to that list, if the product stood in it; any other
to the latest list, or the latest click from one, in which the same subject met the product. Both
within the window.
"""

from datetime import timedelta

import polars as pl

SLICE = 100_000
"""impressions that are unfolded at a time: some 200 MB with lists of 20"""

_WHOSE = pl.coalesce("m:" + pl.col("member_id"), "v:" + pl.col("visitor_id"))


def with_subject(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Adds `subject`: the member, else the visitor, as experiments draw them."""
    return rows.with_columns(_WHOSE.alias("subject"))


def attributed(impressions: pl.DataFrame, events: pl.DataFrame, window: timedelta) -> pl.DataFrame:
    """kind, amount and `shown_to`, the subject of the list: a row for each event that goes back to
    one.

    impressions: request_id, subject, product_ids, shown_at. events: clicks and purchases, with
    subject, product_id, request_id, occurred_at, kind, amount.
    """
    showings = _showings(impressions, events)
    clicks = _by_time(showings, events.filter(pl.col("kind") == "click"), window)
    met = pl.concat([showings, clicks.select(showings.columns)])
    purchases = _by_time(met, events.filter(pl.col("kind") == "purchase"), window)
    return pl.concat([clicks, purchases]).select("kind", "amount", "shown_to")


def _showings(impressions: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """request_id, subject, product_id, at, shown_to: the showings that an event may go back to."""
    met = events.select("subject", "product_id").unique()
    asked = events.select("request_id", "product_id").drop_nulls().unique()
    kept = []
    for rows in impressions.iter_slices(SLICE):
        one = rows.explode("product_ids").rename({"product_ids": "product_id"})
        of_subject = one.join(met, on=["subject", "product_id"], how="semi")
        of_request = one.join(asked, on=["request_id", "product_id"], how="semi")
        kept.append(pl.concat([of_subject, of_request]).unique())
    return pl.concat(kept).select(
        "request_id", "subject", "product_id",
        pl.col("shown_at").alias("at"), pl.col("subject").alias("shown_to"),
    )  # fmt: skip


def _by_time(met: pl.DataFrame, events: pl.DataFrame, window: timedelta) -> pl.DataFrame:
    """The events that go back to something met, with `at` their own time."""
    events = events.with_row_index("event")
    named = met.unique(["request_id", "product_id"]).select(
        "request_id", "product_id", pl.col("at").alias("met_at"), "shown_to"
    )
    direct = events.join(named, on=["request_id", "product_id"]).filter(
        pl.col("occurred_at") - pl.col("met_at") <= window
    )
    rest = events.join(direct, on="event", how="anti").drop("request_id").sort("occurred_at")
    by_time = rest.join_asof(
        met.rename({"at": "met_at"}).sort("met_at"),
        left_on="occurred_at", right_on="met_at", by=["subject", "product_id"],
        tolerance=window, check_sortedness=False,
    ).filter(pl.col("shown_to").is_not_null())  # fmt: skip
    columns = ["request_id", "subject", "product_id", "occurred_at", "shown_to", "kind", "amount"]
    found = pl.concat([direct.select(columns), by_time.select(columns)])
    return found.rename({"occurred_at": "at"})
