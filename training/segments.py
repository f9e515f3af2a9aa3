"""Segments of members: those who share region, age band, tier and language."""

from collections.abc import Set
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

COLUMNS = ("region", "age_band", "tier", "language")
_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Segments:
    """What the members' table said, each row from a day on, by member, then day."""

    n_members: int
    members: NDArray[np.int32]
    """shape (rows,): member rows"""
    known: NDArray[np.float64]
    """shape (rows,): the day of the row's `valid_from`; -inf for a row without"""
    codes: NDArray[np.int32]
    """shape (rows,): the segment, -1 where nothing is known"""

    def at(self, instants: NDArray[np.float64]) -> NDArray[np.int32]:
        """shape (members,): each member's segment as known before its instant (days), or -1."""
        rows = np.flatnonzero(self.known < instants[self.members])
        found = np.full(self.n_members, -1, np.int32)
        found[self.members[rows]] = self.codes[rows]  # of a member's rows the last one stays
        return found


def segments(table: pl.DataFrame, member_ids: list[str], *, static: Set[str]) -> Segments:
    """Code the rows of the members' table. A null says nothing: what was known before stays, and
    a row without `valid_from` says its `static` columns alone."""
    undated = pl.col("valid_from").is_null()
    changing = [name for name in COLUMNS if name not in static]
    rows = (
        pl.DataFrame({"member_id": member_ids})
        .with_row_index("member")
        .join(table.select("member_id", "valid_from", *COLUMNS), on="member_id")
        .with_columns(pl.when(~undated).then(pl.col(name)).alias(name) for name in changing)
        .sort("member", "valid_from", nulls_last=False)
        .with_columns(pl.col(COLUMNS).forward_fill().over("member"))
    )
    nothing = pl.all_horizontal(pl.col(name).is_null() for name in COLUMNS)
    code = pl.struct(COLUMNS).rank("dense").cast(pl.Int32) - 1
    known = rows["valid_from"].dt.epoch("us").cast(pl.Float64) / _DAY_US
    return Segments(
        len(member_ids),
        rows["member"].cast(pl.Int32).to_numpy(),
        known.fill_null(-np.inf).to_numpy(),
        rows.select(pl.when(nothing).then(-1).otherwise(code))
        .to_series()
        .cast(pl.Int32)
        .to_numpy(),
    )
