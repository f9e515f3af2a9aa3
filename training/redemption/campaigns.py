"""A shop's campaigns as arrays: whom they targeted, with which coupons, and what was redeemed."""

from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.dataset import Dataset
from training import shelf
from training.shop import Shop

_DAY_US = 86_400_000_000
WHOLE = 50
"""a push whose coupon is not recorded brought all of the campaign's, if there are no more"""
FEW = 16
"""of a bigger campaign it brought so many, chosen for the member (Complete Journey, type A): the
best-ranked ones, as far as anybody knows"""

Rows = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Pushes:
    """One row a push, by time. `coupons` is a row of the model's coupons, -1 if not recorded."""

    members: Rows
    campaigns: Rows
    coupons: Rows
    days: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Redemptions:
    """One row a redemption, by time; `coupons` of the campaign that it was redeemed in."""

    members: Rows
    coupons: Rows
    days: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Campaigns:
    """All campaigns; look at what had happened by a day only."""

    campaign_ids: list[str]
    starts: NDArray[np.float64]
    ends: NDArray[np.float64]
    coupon_ids: list[str]
    """of each coupon row; a coupon stands once in each of its campaigns, as in the model"""
    of_campaign: Rows
    """shape (coupons,): the campaign of each coupon row, -1 outside any"""
    kinds: list[str | None]
    values: NDArray[np.float64]
    """shape (coupons,): face value, NaN where it is not stated"""
    quantities: NDArray[np.float64]
    """shape (coupons,): units to buy, 1 where it is not stated"""
    until: NDArray[np.float64]
    """shape (coupons,): the day from which the coupon is void, inf without one"""
    scope: csr_matrix
    """shape (products, coupons): 1 where a coupon counts for a product"""
    pushes: Pushes
    redemptions: Redemptions

    def coupons(self, campaign: int) -> Rows:
        """The coupon rows of a campaign."""
        return np.flatnonzero(self.of_campaign == campaign).astype(np.int32)

    def targeted(self, campaign: int) -> Rows:
        """The members pushed, ascending."""
        return np.unique(self.pushes.members[self._sent(campaign)])

    def given(self, campaign: int, members: Rows) -> tuple[NDArray[np.bool_], bool]:
        """shape (members, coupons): what each may have been given, and whether it was just that.

        It was where pushes say which coupon they brought, or the campaign is small enough to have
        been brought whole; else each member got FEW of it.
        """
        coupons = self.coupons(campaign)
        rows = self._sent(campaign)
        known = rows[self.pushes.coupons[rows] >= 0]
        given = np.zeros((len(members), len(coupons)), np.bool_)
        _mark(given, members, coupons, self.pushes.members[known], self.pushes.coupons[known])
        silent = ~given.any(axis=1)
        given[silent] = True
        return given, len(coupons) <= WHOLE or not silent.any()

    def redeemed(self, campaign: int, members: Rows) -> NDArray[np.bool_]:
        """shape (members, coupons): what was redeemed of the campaign before its end."""
        coupons = self.coupons(campaign)
        found = np.zeros((len(members), len(coupons)), np.bool_)
        inside = self.redemptions.days < self.ends[campaign]
        used = self.redemptions.members[inside], self.redemptions.coupons[inside]
        _mark(found, members, coupons, *used)
        return found

    def _sent(self, campaign: int) -> NDArray[np.int64]:
        """The rows of its pushes, before its end."""
        sent = self.pushes.days < self.ends[campaign]
        return np.flatnonzero(sent & (self.pushes.campaigns == campaign))


def _mark(
    table: NDArray[np.bool_], members: Rows, coupons: Rows, of_members: Rows, of_coupons: Rows
) -> None:
    """Set the cells of some pairs; those outside the table are passed over."""
    inside = np.isin(of_members, members) & np.isin(of_coupons, coupons)
    at = np.searchsorted(members, of_members[inside])
    table[at, np.searchsorted(coupons, of_coupons[inside])] = True


def load(dataset: Dataset, shop: Shop, *, before: datetime | None = None) -> Campaigns:
    """Read a dataset's campaigns, against a shop's rows. A member or product that the shop does
    not know is left out; `before` as for the shop."""
    listed = shelf.listed(dataset).join(
        dataset.read("coupons").select("coupon_id", "min_quantity"), on="coupon_id", how="left",
        maintain_order="left",
    )  # fmt: skip
    campaigns = dataset.read("campaigns").sort("starts_at", "campaign_id")
    campaign_ids = campaigns["campaign_id"].to_list()
    entries = listed.select("coupon_id", "campaign_id").with_row_index("coupon")
    rows = pl.DataFrame({"product_id": shop.product_ids}).join(
        dataset.known("products", before), on="product_id", how="left", maintain_order="left"
    )
    scopes = shelf.scopes(dataset, shop, rows)
    offsets, coupons = scopes["scope_offsets"], scopes["scope_coupons"]
    ones = np.ones(len(coupons), np.float32)
    return Campaigns(
        campaign_ids,
        _days(campaigns, "starts_at"),
        _days(campaigns, "ends_at"),
        listed["coupon_id"].to_list(),
        _rows(listed["campaign_id"], campaign_ids),
        listed["kind"].to_list(),
        listed["value"].cast(pl.Float64).fill_null(float("nan")).to_numpy(),
        listed["min_quantity"].fill_null(1.0).to_numpy(),
        _days(listed, "valid_until", missing=np.inf),
        csr_matrix((ones, coupons, offsets), shape=(shop.n_products, len(listed))),
        _pushes(dataset, shop, campaign_ids, entries),
        _redemptions(dataset, shop, entries),
    )


def _pushes(dataset: Dataset, shop: Shop, campaign_ids: list[str], entries: pl.DataFrame) -> Pushes:
    """A push of a campaign that the table does not list tells of the member alone."""
    pushes = dataset.read("pushes")
    others = sorted(set(pushes["campaign_id"]) - set(campaign_ids))
    rows = (
        pushes.join(entries, on=["campaign_id", "coupon_id"], how="left", maintain_order="left")
        .with_columns(_rows_expr("member_id", shop.member_ids))
        .filter(pl.col("member_id") >= 0)
        .sort("sent_at", "member_id", "campaign_id")
    )
    return Pushes(
        rows["member_id"].to_numpy(),
        _rows(rows["campaign_id"], campaign_ids + others),
        rows["coupon"].cast(pl.Int32).fill_null(-1).to_numpy(),
        _days(rows, "sent_at"),
    )


def _redemptions(dataset: Dataset, shop: Shop, entries: pl.DataFrame) -> Redemptions:
    """A redemption without a campaign is of the coupon's first row."""
    first = entries.group_by("coupon_id", maintain_order=True).agg(pl.col("coupon").first())
    rows = (
        dataset.read("redemptions")
        .join(entries, on=["campaign_id", "coupon_id"], how="left", maintain_order="left")
        .join(first, on="coupon_id", how="left", suffix="_first", maintain_order="left")
        .with_columns(pl.coalesce("coupon", "coupon_first").alias("coupon"))
        .with_columns(_rows_expr("member_id", shop.member_ids))
        .filter(pl.col("member_id") >= 0, pl.col("coupon").is_not_null())
        .sort("redeemed_at", "member_id", "coupon")
    )
    return Redemptions(
        rows["member_id"].to_numpy(),
        rows["coupon"].cast(pl.Int32).to_numpy(),
        _days(rows, "redeemed_at"),
    )


def _days(rows: pl.DataFrame, column: str, *, missing: float = np.nan) -> NDArray[np.float64]:
    days: NDArray[np.float64] = (
        (rows[column].dt.epoch("us") / _DAY_US).fill_null(missing).to_numpy()
    )
    return days


def _rows(ids: pl.Series, of: list[str]) -> Rows:
    """The row of each id; -1 for an unknown one."""
    return ids.to_frame("id").select(_rows_expr("id", of)).to_series().to_numpy()


def _rows_expr(column: str, of: list[str]) -> pl.Expr:
    return pl.col(column).replace_strict(of, range(len(of)), default=-1, return_dtype=pl.Int32)
