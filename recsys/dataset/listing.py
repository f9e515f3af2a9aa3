"""The coupons of a dataset, once for each campaign that they stand in."""

import polars as pl

from recsys.coupons import Coupon

_DAY_US = 86_400_000_000
_FACTS = (
    "coupon_id", "title", "kind", "value", "max_discount", "min_spend", "valid_from", "valid_until",
    "cost", "max_issues", "max_redemptions", "tiers",
)  # fmt: skip


def listed(coupons: pl.LazyFrame, placed: pl.LazyFrame, campaigns: pl.LazyFrame) -> pl.LazyFrame:
    """The tables coupons, campaign_coupons and campaigns as one, sorted; a campaign's dates bound
    the coupon's."""
    return (
        coupons.select(_FACTS)
        .with_columns(pl.col("tiers").fill_null([]))
        .join(placed.select("coupon_id", "campaign_id").unique(), on="coupon_id", how="left")
        .join(campaigns.select("campaign_id", "starts_at", "ends_at"), on="campaign_id", how="left")
        .with_columns(
            pl.max_horizontal("valid_from", "starts_at").alias("valid_from"),
            pl.min_horizontal("valid_until", "ends_at").alias("valid_until"),
        )
        .select(*_FACTS, "campaign_id")
        .sort("coupon_id", "campaign_id")
    )


def coupons_of(rows: pl.DataFrame) -> list[Coupon]:
    """The rows of `listed`, in days since 1970."""
    days = [
        (pl.col(name).dt.epoch("us") / _DAY_US).alias(name)
        for name in ("valid_from", "valid_until")
    ]
    facts = rows.with_columns(days).iter_rows(named=True)
    return [Coupon(**{**row, "tiers": tuple(row["tiers"])}) for row in facts]
