"""Categories and brands of products as codes, at any instant."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

CATEGORY_LEVELS = 3
"""Deeper category paths are cut: level 0 is the whole path, level 1 its parent, level 2 the root"""
_DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Attributes:
    """What the catalogue said of products, each row from a day on, by product, then day."""

    n_products: int
    products: NDArray[np.int32]
    """shape (rows,): product rows"""
    known: NDArray[np.float64]
    """shape (rows,): the day of the row's `valid_from`; -inf for a row without"""
    categories: NDArray[np.int32]
    """shape (CATEGORY_LEVELS, rows): codes from the leaf up, -1 where unknown"""
    brands: NDArray[np.int32]
    """shape (rows,)"""
    launched: NDArray[np.float64]
    """shape (rows,): the day of the launch as the row has it; else the day on which the catalogue
    first named the product, unless that is its first day; NaN where neither is said"""

    def at(self, day: float) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """Categories, shape (CATEGORY_LEVELS, products), and brands, shape (products,), as they
        were known before a day."""
        rows = np.flatnonzero(self.known < day)
        last = np.append(self.products[rows][1:] != self.products[rows][:-1], True)[: len(rows)]
        rows = rows[last]
        codes = np.full((CATEGORY_LEVELS + 1, self.n_products), -1, np.int32)
        codes[:CATEGORY_LEVELS, self.products[rows]] = self.categories[:, rows]
        codes[CATEGORY_LEVELS, self.products[rows]] = self.brands[rows]
        return codes[:CATEGORY_LEVELS], codes[CATEGORY_LEVELS]

    def launches(self, day: float) -> NDArray[np.float64]:
        """shape (products,): the day of each launch, as it was known before a day; NaN where it
        was not."""
        rows = np.flatnonzero((self.known < day) & ~(self.launched >= day))
        days = np.full(self.n_products, np.nan)
        days[self.products[rows]] = self.launched[rows]
        return days


def attributes(catalogue: pl.DataFrame, product_ids: list[str]) -> Attributes:
    """Code the rows of the products table. A null says nothing: what was known before stays."""
    stated = ("category", "brand", "launched_at")
    rows = (
        pl.DataFrame({"product_id": product_ids})
        .with_row_index("product")
        .join(catalogue.select("product_id", "valid_from", *stated), on="product_id")
        .sort("product", "valid_from", nulls_last=False)
        .with_columns(pl.col(stated).forward_fill().over("product"))
    )
    path = pl.col("category").str.split(" > ")
    levels = [
        _dense(rows.select(path.list.head(depth).list.join(" > ")).to_series())
        for depth in (path.list.len(), (path.list.len() - 1).clip(1), pl.lit(1))
    ]
    named = pl.col("valid_from").min().over("product")
    later = pl.when(named > pl.col("valid_from").min()).then(named)
    launched = rows.select(pl.coalesce("launched_at", later).dt.epoch("us") / _DAY_US).to_series()
    known = rows["valid_from"].dt.epoch("us").cast(pl.Float64) / _DAY_US
    return Attributes(
        len(product_ids),
        rows["product"].cast(pl.Int32).to_numpy(),
        known.fill_null(-np.inf).to_numpy(),
        np.stack(levels),
        _dense(rows["brand"]),
        launched.cast(pl.Float64).fill_null(np.nan).to_numpy(),
    )


def _dense(values: pl.Series) -> NDArray[np.int32]:
    """Codes from 0 in the order of the text, -1 for null."""
    return (values.rank("dense").cast(pl.Int32) - 1).fill_null(-1).to_numpy()
