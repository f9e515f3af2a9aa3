"""Whose a visitor's events are."""

import polars as pl


def identified(events: pl.DataFrame, logins: pl.DataFrame) -> pl.DataFrame:
    """A visitor's event is of the member who had logged in last; before any login it is of the
    first to log in afterwards, who claimed it then.

    Adds `claimed`, the instant of that later login, and fills in `member_id`. The order of the rows
    may change.
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
