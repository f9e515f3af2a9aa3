"""Whose a visitor's events are."""

import polars as pl

ERASED = r"^erased:[0-9a-f]{8}\.[0-9a-f]{64}$"
"""In place of the member_id of an identification: a member that was erased, as a keyed hash. What
the visitor did as that member is nobody's, and must not become the next one's."""


def owned(events: pl.DataFrame, logins: pl.DataFrame) -> pl.DataFrame:
    """A visitor's event is of the member who had logged in last; before any login it is of the
    first to log in afterwards, who claimed it then.

    Fills in `member_id`, and adds `claimed`, the instant of that later login. The order of the
    rows may change.
    """
    if logins.is_empty():
        return events.with_columns(pl.lit(None, pl.Datetime("us", "UTC")).alias("claimed"))
    logins = logins.select("visitor_id", "at", pl.col("member_id").alias("owner")).sort("at")
    joined = events.sort("occurred_at", maintain_order=True)
    for strategy in ("backward", "forward"):
        joined = joined.join_asof(
            logins.rename({"at": f"{strategy}_at", "owner": strategy}),
            left_on="occurred_at", right_on=f"{strategy}_at", by="visitor_id",
            strategy=strategy, check_sortedness=False,
        )  # fmt: skip
    unknown = pl.col("member_id").is_null() & pl.col("backward").is_null()
    return joined.with_columns(
        pl.when(unknown).then("forward_at").alias("claimed"),
        pl.coalesce("member_id", "backward", "forward").alias("member_id"),
    )


def identified(events: pl.DataFrame, logins: pl.DataFrame) -> pl.DataFrame:
    """The same, where what an erased member did is nobody's."""
    whose = owned(events, logins)
    if not logins["member_id"].str.contains(ERASED).any():
        return whose
    erased = pl.col("member_id").str.contains(ERASED)
    return whose.with_columns(
        pl.when(~erased).then("claimed").alias("claimed"),
        pl.when(~erased).then("member_id").alias("member_id"),
    )
