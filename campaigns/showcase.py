"""What a message shows: a coupon's title, and the products of it that this member knows best."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from campaigns.audience import Tables
from campaigns.message import Coupon

PRODUCTS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Showcase:
    """Everything that messages need besides addresses."""

    coupons: Mapping[str, Coupon]
    products: Mapping[tuple[str, str], list[str]]
    """(member, coupon) → titles, the member's own most bought first, then the shop's"""

    def coupon(self, coupon_id: str) -> Coupon:
        """The coupon, by its id where the dataset has no title for it."""
        return self.coupons.get(coupon_id, Coupon(coupon_id, f"Your coupon {coupon_id}"))


def showcase(dataset: Tables, pairs: pl.DataFrame, *, campaign: str, now: datetime) -> Showcase:
    """For pairs of member_id and coupon_id (their columns), from what was known before now."""
    wanted = pairs.select("member_id", "coupon_id").drop_nulls().unique().lazy()
    products = dataset.known("products", now, undated=True).lazy()
    scope = coupon_scope(dataset, products, campaign=campaign)
    bought = dataset.scan("events").filter(
        (pl.col("kind") == "purchase")
        & (pl.col("occurred_at") < now)
        & pl.col("product_id").is_not_null()
    )
    popular = bought.group_by("product_id").agg(pl.len().alias("sold"))
    own = bought.group_by("member_id", "product_id").agg(pl.len().alias("own"))
    best = (
        scope.join(popular, on="product_id", how="left")
        .sort("sold", "product_id", descending=[True, False], nulls_last=True)
        .group_by("coupon_id", maintain_order=True)
        .head(PRODUCTS_SHOWN)
    )
    mine = (
        wanted.join(scope, on="coupon_id")
        .join(own, on=["member_id", "product_id"])
        .join(popular, on="product_id")
    )
    offered = pl.concat(
        [
            mine.select("member_id", "coupon_id", "product_id", "own", "sold"),
            wanted.join(best, on="coupon_id").select(
                "member_id", "coupon_id", "product_id", pl.lit(0, pl.UInt32).alias("own"), "sold"
            ),
        ],
        how="vertical_relaxed",
    )
    titles = products.select("product_id", "title")
    shown = (
        offered.sort("own", "sold", "product_id", descending=[True, True, False], nulls_last=True)
        .unique(["member_id", "coupon_id", "product_id"], keep="first", maintain_order=True)
        .join(titles, on="product_id", how="left", maintain_order="left")
        .with_columns(pl.coalesce("title", "product_id"))
        .unique(["member_id", "coupon_id", "title"], keep="first", maintain_order=True)
        .group_by("member_id", "coupon_id", maintain_order=True)
        .agg(pl.col("title").head(PRODUCTS_SHOWN))
        .collect()
    )
    by_pair = {(member, coupon): list(names) for member, coupon, names in shown.iter_rows()}
    named = coupon_titles(dataset)
    return Showcase({key: Coupon(key, title) for key, title in named.items()}, by_pair)


def coupon_scope(dataset: Tables, products: pl.LazyFrame, *, campaign: str) -> pl.LazyFrame:
    """coupon_id, product_id: the products a coupon is for in this campaign, categories resolved."""
    rows = dataset.scan("coupon_products").filter(
        pl.col("campaign_id").is_null() | (pl.col("campaign_id") == campaign)
    )
    named = rows.filter(pl.col("product_id").is_not_null()).select("coupon_id", "product_id")
    paths = rows.filter(pl.col("product_id").is_null() & pl.col("category").is_not_null())
    within = (
        products.select("product_id", pl.col("category").str.split(" > ").alias("levels"))
        .with_columns(
            pl.int_ranges(1, pl.col("levels").list.len() + 1, dtype=pl.Int64).alias("depth")
        )
        .explode("depth")
        .with_columns(
            pl.col("levels").list.head(pl.col("depth")).list.join(" > ").alias("category")
        )
        .join(paths.select("coupon_id", "category"), on="category")
        .select("coupon_id", "product_id")
    )
    return pl.concat([named, within]).unique()


def coupon_titles(dataset: Tables) -> dict[str, str]:
    """Of the coupons that have one."""
    rows = dataset.scan("coupons").select("coupon_id", "title").drop_nulls().collect()
    return {str(key): str(title) for key, title in rows.iter_rows()}
