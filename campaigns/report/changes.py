"""What is different from the plan before."""

from dataclasses import dataclass

import polars as pl

_LESS = (pl.col("value") - pl.col("value_then"), pl.col("cost") - pl.col("cost_then"))


@dataclass(frozen=True, slots=True)
class Group:
    """Members whom one change befell, and the sums over them; money."""

    members: int
    value: float
    cost: float


@dataclass(frozen=True, slots=True)
class Change:
    """One plan against an earlier one of the same campaign."""

    plan: str
    """the earlier one"""
    made: str
    state: str
    occasion: str
    pushes: int
    cost: float
    value: float
    left_out: dict[str, int]
    """members by decision, all but push"""
    new: Group
    """get a push now and did not"""
    gone: Group
    """did and do not; what their pushes were worth and cost"""
    other: Group
    """get another coupon; now less then"""
    same: Group
    """get the same; now less then"""


def left_out(rows: pl.DataFrame) -> dict[str, int]:
    """Members by decision, all but push, the most frequent first."""
    others = rows.filter(pl.col("decision") != "push")
    counted = others.group_by("decision").len().sort(["len", "decision"], descending=[True, False])
    return dict(counted.iter_rows())


def change(
    now: pl.DataFrame,
    then: pl.DataFrame,
    *,
    plan: str,
    made: str,
    state: str,
    occasion: str,
    minor_units: int,
) -> Change:
    """now, then: rows in a plan's columns."""
    before = _pushes(then, minor_units)
    both = _pushes(now, minor_units).join(before, on="member_id", how="full", suffix="_then")
    kept = both.drop_nulls(["member_id", "member_id_then"])
    differs = pl.col("coupon_id") != pl.col("coupon_id_then")
    return Change(
        plan,
        made,
        state,
        occasion,
        len(before),
        float(before["cost"].sum()),
        float(before["value"].sum()),
        left_out(then),
        _group(both.filter(pl.col("member_id_then").is_null()), pl.col("value"), pl.col("cost")),
        _group(
            both.filter(pl.col("member_id").is_null()), pl.col("value_then"), pl.col("cost_then")
        ),
        _group(kept.filter(differs), *_LESS),
        _group(kept.filter(~differs), *_LESS),
    )


def _pushes(rows: pl.DataFrame, minor_units: int) -> pl.DataFrame:
    return rows.filter(pl.col("decision") == "push").select(
        "member_id",
        "coupon_id",
        pl.col("expected_value").alias("value"),
        (pl.col("cost") / minor_units).alias("cost"),
    )


def _group(some: pl.DataFrame, value: pl.Expr, cost: pl.Expr) -> Group:
    summed = some.select(value.sum().alias("value"), cost.sum().alias("cost"))
    return Group(len(some), float(summed["value"][0]), float(summed["cost"][0]))
