"""A generated shop of any size: members with favourite categories and staples that they buy again,
products of very different popularity, baskets, and some views. Some products are sold out, are
variants of one another, or are sold in some regions alone.

Made in parts of bounded memory, from a seed, and the same on every machine.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
DAYS = 365
LEAF = 100
"""products of a category"""
FAVOURITES = 3
"""categories of a member"""
STAPLES = 8
"""products that a member buys again"""
AGAIN, OF_FAVOURITES = 0.45, 0.3
"""of the lines; the rest is anything popular"""
BASKET = 8
VIEWS = 0.1
"""of the lines"""
PART = 2_000_000
MINUTES = DAYS * 24 * 60


@dataclass(frozen=True, slots=True)
class Habits:
    """What decides what is bought."""

    favourites: NDArray[np.int64]
    """shape (members, FAVOURITES): categories"""
    staples: NDArray[np.int64]
    """shape (members, STAPLES): products"""
    popularity: NDArray[np.float64]
    """shape (products,): the running sum of their shares"""


@dataclass(frozen=True, slots=True)
class Size:
    """How large a shop."""

    events: int
    members: int
    products: int


def write_shop(folder: Path, size: Size, *, seed: int = 1) -> Path:
    """Write the dataset's Parquet files and return the folder."""
    (folder / "events").mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    popularity = _popularity(size.products, rng)
    favourites = rng.integers(0, max(size.products // LEAF, 1), (size.members, FAVOURITES))
    owners = np.repeat(np.arange(size.members), STAPLES)
    staples = _in_favourites(favourites, owners, rng).reshape(size.members, STAPLES)
    habits = Habits(favourites, staples, popularity)
    busy = rng.lognormal(0, 1, size.members)
    counts = rng.multinomial(size.events, busy / busy.sum())
    lines = np.repeat(np.arange(size.members, dtype=np.int32), counts)
    for number, low in enumerate(range(0, len(lines), PART)):
        members = lines[low : low + PART]
        rows = _events(members, low, habits, rng)
        rows.write_parquet(folder / "events" / f"part-{number:03}.parquet")
    product_rows(size).write_parquet(folder / "products.parquet")
    _members(size, rng).write_parquet(folder / "members.parquet")
    return folder


def _popularity(products: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """shape (products,): the running sum of their shares, as Zipf has them."""
    shares = 1 / (np.arange(products) + 10) ** 0.8
    rng.shuffle(shares)
    running: NDArray[np.float64] = np.cumsum(shares) / shares.sum()
    return running


def _in_favourites(
    favourites: NDArray[np.int64], members: NDArray[np.integer], rng: np.random.Generator
) -> NDArray[np.int64]:
    """A product of one of each member's favourite categories, a few of them much more often."""
    leaf = favourites[members, rng.integers(0, FAVOURITES, len(members))]
    place = (LEAF * rng.random(len(members)) ** 2).astype(np.int64)
    products: NDArray[np.int64] = leaf * LEAF + place
    return products


def _events(
    members: NDArray[np.int32], first: int, habits: Habits, rng: np.random.Generator
) -> pl.DataFrame:
    """Rows number `first` and on, of these members."""
    rows = len(members)
    what = rng.random(rows)
    products = np.searchsorted(habits.popularity, rng.random(rows))
    again, liked = what < AGAIN, (what >= AGAIN) & (what < AGAIN + OF_FAVOURITES)
    products[again] = habits.staples[members[again], rng.integers(0, STAPLES, int(again.sum()))]
    products[liked] = _in_favourites(habits.favourites, members[liked], rng)
    # some lines of a member, one after the other, are an order and share its minute
    number = np.arange(first, first + rows)
    order = members.astype(np.int64) << 32 | number // BASKET
    _, place = np.unique(order, return_inverse=True)
    minutes = rng.integers(0, MINUTES, int(place.max()) + 1)[place]
    begin = np.datetime64(BEGIN.replace(tzinfo=None), "us")
    bought = pl.col("kind") == "purchase"
    return pl.DataFrame(
        {
            "event_id": number,
            "member": members,
            "product": products,
            "kind": np.where(rng.random(rows) < VIEWS, "view", "purchase"),
            "occurred_at": begin + minutes.astype("timedelta64[m]"),
            "basket": number // BASKET,
        }
    ).select(
        pl.col("event_id").cast(pl.String),
        pl.format("m{}", "member").alias("member_id"),
        pl.format("p{}", "product").alias("product_id"),
        "kind",
        pl.col("occurred_at").dt.replace_time_zone("UTC"),
        pl.when(bought).then(pl.format("{} {}", "member", "basket")).alias("order_id"),
        pl.when(bought).then(1.0 + pl.col("product") % 40).alias("amount"),
    )


def product_rows(size: Size) -> pl.DataFrame:
    """The catalogue."""
    numbers = np.arange(size.products)
    leaf = numbers // LEAF
    return pl.DataFrame(
        {
            "product_id": [f"p{number}" for number in numbers],
            "title": [f"Product {number}" for number in numbers],
            "category": [f"D{one // 100} > A{one // 10} > S{one}" for one in leaf],
            "brand": [f"brand {number * 7919 % 500}" for number in numbers],
            "price": 1.0 + numbers % 40,
            "in_stock": numbers % 50 != 49,
        }
    ).with_columns(
        group_id=pl.Series([f"g{n // 3}" if n % 30 < 3 else None for n in numbers.tolist()]),
        regions=pl.Series([["north", "south"] if n % 25 == 7 else None for n in numbers.tolist()]),
    )


def _members(size: Size, rng: np.random.Generator) -> pl.DataFrame:
    regions = np.array(["north", "south", "east", "west"])[rng.integers(0, 4, size.members)]
    return pl.DataFrame(
        {
            "member_id": [f"m{number}" for number in range(size.members)],
            "region": regions,
            "joined_at": [BEGIN - timedelta(days=1)] * size.members,
        }
    )
