"""A dataset as arrays, and what was known of it before an instant."""

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.dataset import Dataset
from recsys.errors import DataError
from recsys.history import KINDS, History, Repeats, repeats
from recsys.identities import identified
from training.attributes import Attributes, attributes
from training.calendar import Calendar, calendar
from training.segments import Segments, segments

_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Shop:
    """The whole dataset; look at it through `past` only."""

    member_ids: list[str]
    product_ids: list[str]
    history: History
    """of the members, row for row with `member_ids`"""
    known: NDArray[np.float64]
    """shape (rows of history,): the day on which it was known whose the row is"""
    anonymous: History
    """what nobody known did: one row of offsets, for product statistics only"""
    claimed: NDArray[np.float64]
    """shape (rows of anonymous,): the day on which a member turned out to have done it"""
    attributes: Attributes
    promotions: pl.DataFrame
    """product (row), starts, ends, known (days), share"""
    segments: Segments

    @property
    def n_products(self) -> int:
        """Products that events or the catalogue name."""
        return len(self.product_ids)

    def past(self, day: float, *, min_support: int) -> "Past":
        """What was known before an instant (days since 1970)."""
        known = self.promotions.filter(pl.col("known") < day)
        past = self.aligned(np.full(len(self.member_ids), day), day, min_support=min_support)
        promoted = _promoted(known, day, self.n_products)
        return replace(past, promoted=promoted, calendar=None)

    def aligned(self, instants: NDArray[np.float64], day: float, *, min_support: int) -> "Past":
        """What was known of each member before its own instant (shape (members,), days), its
        days moved so that the instant is `day`: every age is right.

        Strangers and the catalogue are as of `day`. Promotions, which belong to a calendar day,
        are left out.
        """
        history = self.known_before(instants)
        dated = history.purchases()
        moved = history.days + (day - instants)[history.members]
        history = replace(history, days=moved)
        anonymous = self.anonymous.where((self.anonymous.days < day) & (self.claimed >= day))
        bought, strangers = history.purchases(), anonymous.purchases()
        products = np.concatenate((bought.products, strangers.products))
        support = np.bincount(products, minlength=self.n_products)
        categories, brands = self.attributes.at(day)
        return Past(
            day=day,
            history=history,
            purchases=bought,
            strangers=strangers,
            repeats=repeats(bought, self.n_products),
            support=support,
            catalogue=support >= min_support,
            categories=categories,
            brands=brands,
            promoted=np.zeros(self.n_products, np.float32),
            launched=self.attributes.launches(day),
            segments=self.segments.at(instants),
            calendar=calendar(instants, dated, strangers),
        )

    def known_before(self, instants: NDArray[np.float64]) -> History:
        """What was known of each member before its instant, shape (members,)."""
        return self.history.where(self.known < instants[self.history.members])


@dataclass(frozen=True, slots=True)
class Past:
    """Everything a step for an instant may read. Nothing in it is later than `day`."""

    day: float
    history: History
    purchases: History
    strangers: History
    repeats: Repeats
    support: NDArray[np.int64]
    """shape (products,): orders with that product"""
    catalogue: NDArray[np.bool_]
    """shape (products,): what may be recommended"""
    categories: NDArray[np.int32]
    """shape (CATEGORY_LEVELS, products): codes from the leaf up, -1 where unknown"""
    brands: NDArray[np.int32]
    """shape (products,): code, -1 where unknown"""
    promoted: NDArray[np.float32]
    """shape (products,): share of stores that promote it at `day`, as known before"""
    launched: NDArray[np.float64]
    """shape (products,): the day of the launch, NaN where it is not known"""
    segments: NDArray[np.int32]
    """shape (members,): code, -1 where unknown"""
    calendar: Calendar | None
    """what was bought when, where members have instants of their own; else it is `day` for all"""

    @property
    def n_members(self) -> int:
        """Members of the shop, with a past or without."""
        return len(self.history.offsets) - 1

    @property
    def n_products(self) -> int:
        """Products of the shop, in the catalogue or not."""
        return len(self.catalogue)


def load(dataset: Dataset, *, before: datetime | None = None) -> Shop:
    """Read a dataset into memory; `before` leaves out what was not known then, ids included.

    At 20 M events about 1 GB.
    """
    events = _events(dataset, before)
    if events.is_empty():
        until = "" if before is None else f" before {before:%Y-%m-%d}"
        raise DataError(
            f"{dataset.path}: no event names a product{until}. Import some purchases first."
        )
    catalogue = _dated(dataset, "products", before)
    product_ids = _ids(events["product_id"], catalogue, "product_id")
    members = _dated(dataset, "members", before)
    member_ids = _ids(events["member_id"].drop_nulls(), members, "member_id")
    events = events.with_columns(
        _codes(events["member_id"], member_ids).alias("member"),
        _codes(events["product_id"], product_ids).alias("product"),
    )
    theirs = events.filter(pl.col("member").is_not_null()).sort("member", "day", "order", "product")
    nobodys = events.filter(pl.col("member").is_null() | pl.col("claimed").is_not_null())
    nobodys = nobodys.sort("day", "order", "product")
    counts = np.bincount(theirs["member"].to_numpy(), minlength=len(member_ids))
    return Shop(
        member_ids,
        product_ids,
        _history(theirs, np.concatenate(([0], np.cumsum(counts)))),
        theirs.select(pl.coalesce("claimed", "day")).to_series().to_numpy(),
        _history(nobodys, np.array([0, len(nobodys)])),
        nobodys["claimed"].fill_null(np.inf).to_numpy(),
        attributes(catalogue, product_ids),
        _promotions(dataset, product_ids),
        segments(members, member_ids, static=dataset.static("members")),
    )


def _dated(dataset: Dataset, table: str, before: datetime | None) -> pl.DataFrame:
    """The rows of products or members that were known."""
    rows = dataset.read(table)
    if before is None:
        return rows
    return rows.filter(pl.col("valid_from").is_null() | (pl.col("valid_from") < before))


def _events(dataset: Dataset, before: datetime | None) -> pl.DataFrame:
    """One row for each kind, order and product: day (float), order (number), amount, claimed.

    An order that goes on after midnight is two rows, so that no row says more than its day knew.
    """
    events = dataset.read("events").filter(pl.col("product_id").is_not_null())
    logins = dataset.read("identities")
    if before is not None:
        events = events.filter(pl.col("occurred_at") < before)
        logins = logins.filter(pl.col("at") < before)
    events = identified(events, logins)
    date = pl.col("occurred_at").dt.date()
    order = pl.coalesce("order_id", pl.format("{} {}", "member_id", date))
    return (
        events.filter((pl.col("kind") != "purchase") | (pl.col("quantity").fill_null(1) > 0))
        .with_columns(order.rank("dense").alias("order"))
        .with_columns(pl.col("order").fill_null(pl.int_range(pl.len()) + pl.len()))
        .with_columns(pl.col("order").rank("dense").cast(pl.Int32))
        .group_by(
            "member_id", "kind", "order", "product_id", "claimed", date.alias("date"),
            maintain_order=True,
        )
        .agg(
            (pl.col("occurred_at").min().dt.epoch("us") / _DAY_US).alias("day"),
            pl.col("amount").sum(),
        )
        .with_columns(pl.col("claimed").dt.epoch("us") / _DAY_US)
    )  # fmt: skip


def _history(rows: pl.DataFrame, offsets: NDArray[np.int64]) -> History:
    return History(
        offsets,
        rows["product"].cast(pl.Int32).to_numpy(),
        rows["day"].to_numpy(),
        rows["order"].to_numpy(),
        rows["kind"].replace_strict(KINDS, range(len(KINDS)), return_dtype=pl.UInt8).to_numpy(),
        rows["amount"].cast(pl.Float32).to_numpy(),
    )


def _ids(seen: pl.Series, table: pl.DataFrame, column: str) -> list[str]:
    ids: list[str] = pl.concat([seen.rename(column), table[column]]).unique().sort().to_list()
    return ids


def _codes(values: pl.Series, ids: list[str]) -> pl.Series:
    return values.cast(pl.Enum(ids)).to_physical()


def _promotions(dataset: Dataset, product_ids: list[str]) -> pl.DataFrame:
    columns = {"product": pl.Int32, "starts": pl.Float64, "ends": pl.Float64, "known": pl.Float64}
    if not dataset.has("promotions"):
        return pl.DataFrame(schema={**columns, "share": pl.Float32})
    rows = pl.DataFrame({"product_id": product_ids}).with_row_index("product")
    table = dataset.read("promotions").with_columns(
        pl.coalesce("known_from", "starts_at").alias("known_from"), pl.col("share").fill_null(1.0)
    )
    return table.join(rows, on="product_id").select(
        pl.col("product").cast(pl.Int32),
        (pl.col("starts_at").dt.epoch("us") / _DAY_US).alias("starts"),
        (pl.col("ends_at").dt.epoch("us") / _DAY_US).alias("ends"),
        (pl.col("known_from").dt.epoch("us") / _DAY_US).alias("known"),
        pl.col("share").cast(pl.Float32),
    )


def _promoted(known: pl.DataFrame, day: float, n_products: int) -> NDArray[np.float32]:
    now = known.filter((pl.col("starts") <= day) & (pl.col("ends") > day))
    shares = np.zeros(n_products, np.float32)
    np.maximum.at(shares, now["product"].to_numpy(), now["share"].to_numpy())
    return shares
