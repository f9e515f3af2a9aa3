"""What a message shows: a coupon's title, and the products of it that this member knows best."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from campaigns.audience import Tables
from campaigns.message import Coupon, Product

PRODUCTS_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Showcase:
    """What messages need besides addresses. Products are looked up for some members at a time."""

    coupons: Mapping[str, Coupon]
    scope: pl.DataFrame
    """coupon_id, product_id: what the coupons are for"""
    popular: pl.DataFrame
    """coupon_id, product_id, sold: the shop's best sellers of each coupon"""
    sold: pl.DataFrame
    """product_id, sold"""
    titles: pl.DataFrame
    """product_id, title"""
    bought: pl.LazyFrame
    """member_id, product_id: one row for each purchase"""

    def coupon(self, coupon_id: str) -> Coupon:
        """The coupon, by its id where the dataset has no title for it."""
        return self.coupons.get(coupon_id, Coupon(coupon_id, f"Your coupon {coupon_id}"))

    def products(self, pairs: pl.DataFrame) -> Mapping[tuple[str, str], list[Product]]:
        """(member, coupon) of these columns → the member's own most bought, then the shop's."""
        wanted = pairs.select("member_id", "coupon_id").drop_nulls().unique()
        own = (
            self.bought.join(wanted.lazy(), on="member_id", how="semi")
            .group_by("member_id", "product_id")
            .agg(pl.len().alias("own"))
            .collect()
        )
        mine = (
            own.join(wanted, on="member_id")
            .join(self.scope, on=["coupon_id", "product_id"], how="semi")
            .join(self.sold, on="product_id")
        )
        order = ["member_id", "coupon_id", "product_id", "own", "sold"]
        best = wanted.join(self.popular, on="coupon_id").with_columns(
            pl.lit(0, pl.UInt32).alias("own")
        )
        shown = (
            pl.concat([mine.select(order), best.select(order)], how="vertical_relaxed")
            .sort("own", "sold", "product_id", descending=[True, True, False], nulls_last=True)
            .unique(["member_id", "coupon_id", "product_id"], keep="first", maintain_order=True)
            .join(self.titles, on="product_id", how="left", maintain_order="left")
            .with_columns(pl.coalesce("title", "product_id"))
            .unique(["member_id", "coupon_id", "title"], keep="first", maintain_order=True)
            .group_by("member_id", "coupon_id", maintain_order=True)
            .agg(pl.col("product_id", "title").head(PRODUCTS_SHOWN))
        )
        return {
            (member, coupon): [Product(*one) for one in zip(ids, titles, strict=True)]
            for member, coupon, ids, titles in shown.iter_rows()
        }


def showcase(
    dataset: Tables, *, campaign: str, coupons: Sequence[str], now: datetime
) -> Showcase:  # fmt: skip
    """Of these coupons in a campaign, from what was known before now."""
    products = dataset.known("products", now, undated=True).lazy()
    scope = (
        coupon_scope(dataset, products, campaign=campaign)
        .filter(pl.col("coupon_id").is_in(list(coupons)))
        .collect()
    )
    bought = (
        dataset.scan("events")
        .filter(
            (pl.col("kind") == "purchase")
            & (pl.col("occurred_at") < now)
            & pl.col("product_id").is_not_null()
        )
        .select("member_id", "product_id")
    )
    sold = bought.group_by("product_id").agg(pl.len().alias("sold")).collect()
    popular = (
        scope.join(sold, on="product_id", how="left")
        .sort("sold", "product_id", descending=[True, False], nulls_last=True)
        .group_by("coupon_id", maintain_order=True)
        .head(PRODUCTS_SHOWN)
    )
    titles = products.select("product_id", "title").collect()
    named = {key: Coupon(key, title) for key, title in coupon_titles(dataset).items()}
    return Showcase(named, scope, popular, sold, titles, bought)


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
