"""What a product or member was known to be before an instant."""

from datetime import datetime

import polars as pl


def known(
    rows: pl.DataFrame,
    *,
    key: str,
    static: frozenset[str],
    as_of: datetime | None,
    undated: bool = False,
) -> pl.DataFrame:
    """One row an id, in order of first appearance: each column's latest value before `as_of`.

    A null says nothing, so a row may carry one changed column alone. A row without `valid_from`
    is the oldest and serves only its `static` columns; it serves all of them where `undated` rows
    are trusted, and with `as_of` None. An id is kept even if nothing but the id was known.
    """
    timeless = pl.col("valid_from").is_null()
    if as_of is not None:
        rows = rows.filter(timeless | (pl.col("valid_from") < as_of))
        if not undated:
            changing = [name for name in rows.columns if name not in static | {key, "valid_from"}]
            rows = rows.with_columns(
                pl.when(~timeless).then(pl.col(name)).alias(name) for name in changing
            )
    ids = rows.select(key).unique(maintain_order=True)
    latest = (
        rows.sort("valid_from", nulls_last=False, maintain_order=True)
        .group_by(key)
        .agg(pl.exclude(key).drop_nulls().last())
    )
    return ids.join(latest, on=key, how="left", maintain_order="left").select(rows.columns)
