"""Gaps of the catalogue."""

from collections.abc import Iterator

import polars as pl

from recsys.dataset import Dataset
from training.doctor.finding import Finding

GAP = 0.05
"""of the purchase lines"""


def findings(
    dataset: Dataset, purchases: pl.DataFrame, products: pl.DataFrame
) -> Iterator[Finding]:
    """Of the products table against what is bought."""
    if not len(purchases):
        return
    if not dataset.has("products"):
        yield Finding(
            "no catalogue", "note",
            "there is no products table: nothing is known of titles, categories, prices and stock",
            "import products with at least product_id, title and category",
        )  # fmt: skip
        return
    latest = products.sort("valid_from", nulls_last=False).unique("product_id", keep="last")
    lines = purchases.select("product_id").join(
        latest.with_columns(pl.lit(True).alias("listed")), on="product_id", how="left"
    )
    unlisted = lines.filter(pl.col("listed").is_null())
    if len(unlisted) > GAP * len(lines):
        yield Finding(
            "catalogue gaps", "warning",
            f"{unlisted['product_id'].n_unique():,} products, in {len(unlisted) / len(lines):.0%} "
            "of the purchase lines, have no row in the catalogue: they are recommended without a "
            "title, price or category",
            "export every product that was ever sold, with in_stock false where it no longer is",
            tuple(unlisted["product_id"].unique().sort().head(3)),
        )  # fmt: skip
    listed = lines.filter(pl.col("listed"))
    for column, loss in (
        ("category", "affinities and new products lean on categories"),
        ("title", "a shop page has nothing to show"),
    ):
        empty = listed.filter(pl.col(column).is_null())
        if len(empty) > GAP * max(len(listed), 1):
            yield Finding(
                f"no {column}", "note",
                f"{len(empty) / len(listed):.0%} of the purchase lines are of products without a "
                f"{column}: {loss}",
                f"fill products.{column}",
                tuple(empty["product_id"].unique().sort().head(3)),
            )  # fmt: skip
