"""A small shop from a seed: 200 members with habits, 60 products, bundles, browsing, coupons.

Each member has three to six staples and buys each about every so many days; two products of
three bundles always stand in one order; views come before some orders.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
DAYS = 120
END = BEGIN + timedelta(days=DAYS)
"""midnight after the last event"""
MEMBERS = [f"m{number:03d}" for number in range(200)]
PRODUCTS = [f"p{number:02d}" for number in range(60)]
BUNDLES = (("p00", "p01"), ("p10", "p11"), ("p20", "p21"))
"""whoever buys the first buys the second in the same order"""
SOLD_OUT = "p58"
NEVER_BOUGHT = "p59"
TIME = pl.Datetime("us", "UTC")


@dataclass
class _Log:
    """Event rows as they happen."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def add(self, kind: str, product: str, at: datetime, **who: str | None) -> None:
        bought = kind == "purchase"
        self.rows.append(
            {
                "event_id": f"e{len(self.rows)}",
                "kind": kind,
                "product_id": product,
                "occurred_at": at,
                "quantity": 1.0 if bought else None,
                "amount": price(product) if bought else None,
                **who,
            }
        )


def price(product: str) -> float:
    """From 1 to 15.75, the same for ever."""
    return 1.0 + 0.25 * PRODUCTS.index(product)


def category(product: str) -> str:
    """Five products a leaf, two leaves an aisle, four departments."""
    number = PRODUCTS.index(product)
    return f"DEPARTMENT {number // 15} > AISLE {number // 10} > SHELF {number // 5}"


def write_small_shop(folder: Path, *, seed: int = 7) -> Path:
    """Write the dataset's Parquet files and return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in {"events": events(seed), **_tables()}.items():
        rows.write_parquet(folder / f"{name}.parquet")
    return folder


def events(seed: int) -> pl.DataFrame:
    """About 10,000 rows, by time."""
    rng = np.random.default_rng(seed)
    log = _Log()
    for member in MEMBERS:
        _member_events(log, member, rng)
    _strangers_events(log, rng)
    rows = pl.DataFrame(log.rows, infer_schema_length=None)
    return rows.cast({"occurred_at": TIME}).sort("occurred_at", "event_id")


def _member_events(log: _Log, member: str, rng: np.random.Generator) -> None:
    # neighbours in the catalogue go together, so that taste has something to find
    home = int(rng.integers(len(PRODUCTS)))
    near = (home + np.arange(-8, 9)) % (len(PRODUCTS) - 1)
    staples = rng.choice(near, size=int(rng.integers(3, 7)), replace=False)
    every = rng.uniform(5, 25, size=len(staples))
    due = rng.uniform(0, every)
    day = float(rng.uniform(0, 5))
    while day < DAYS:
        basket = [PRODUCTS[staple] for staple in staples[due <= day + 1]]
        due = np.where(due <= day + 1, day + every * rng.uniform(0.8, 1.2, len(every)), due)
        if rng.random() < 0.15:
            basket.append(PRODUCTS[int(59 * rng.random() ** 2)])  # some are popular with all
        basket += [second for first, second in BUNDLES if first in basket]
        at = BEGIN + timedelta(days=day)
        for product in dict.fromkeys(basket):
            if rng.random() < 0.1 and day > 0.1:
                log.add("view", product, at - timedelta(minutes=30), member_id=member)
            log.add("purchase", product, at, member_id=member, order_id=f"{member}-{day:.4f}")
        day += float(rng.uniform(3, 8))


def _strangers_events(log: _Log, rng: np.random.Generator) -> None:
    for number in range(150):
        at = BEGIN + timedelta(days=float(rng.uniform(0, DAYS)))
        first = int(rng.integers(len(PRODUCTS) - 2))
        for product in PRODUCTS[first : first + 2]:
            log.add("purchase", product, at, order_id=f"till-{number}")
        viewed = PRODUCTS[int(rng.integers(len(PRODUCTS) - 1))]
        log.add("view", viewed, at, visitor_id=f"v{number % 40}")


def _tables() -> dict[str, pl.DataFrame]:
    week = timedelta(days=7)
    return {
        "members": pl.DataFrame(
            {"member_id": MEMBERS, "region": ["north", "south"] * (len(MEMBERS) // 2)}
        ),
        "products": pl.DataFrame(
            {
                "product_id": PRODUCTS,
                "title": [f"Product {product[1:]}" for product in PRODUCTS],
                "category": [category(product) for product in PRODUCTS],
                "brand": [f"brand {number % 7}" for number in range(len(PRODUCTS))],
                "price": [price(product) for product in PRODUCTS],
                "in_stock": [product != SOLD_OUT for product in PRODUCTS],
                "valid_from": [BEGIN] * len(PRODUCTS),
            },
            schema_overrides={"valid_from": TIME},
        ),
        "promotions": pl.DataFrame(
            [
                {
                    "product_id": product,
                    "starts_at": END - (back + 0.5) * week,
                    "ends_at": END - (back - 0.5) * week,
                    "share": 0.5,
                }
                for back in range(10)
                for product in PRODUCTS[back % 5 : 50 : 5]
            ]
        ),
        "coupons": pl.DataFrame(
            {
                "coupon_id": ["c1", "c2", "c3", "c4"],
                "title": ["1 off department 0", "10 % off shelf 3", None, "5 off a bundle"],
                "kind": ["amount", "percent", None, "amount"],
                "value": [1.0, 10.0, None, 5.0],
                "cost": [0.05, None, 0.05, 0.10],
            }
        ),
        "coupon_products": pl.DataFrame(
            {
                "coupon_id": ["c1", "c2", "c3", "c3", "c4"],
                "product_id": [None, None, "p30", "p31", "p10"],
                "category": ["DEPARTMENT 0", category("p15"), None, None, None],
                "campaign_id": [None, None, None, "spring", None],
            }
        ),
        "campaigns": pl.DataFrame(
            {
                "campaign_id": ["winter", "spring"],
                "starts_at": [END - 4 * week, END - timedelta(days=1)],
                "ends_at": [END - 3 * week, END + 4 * week],
            }
        ),
        "campaign_coupons": pl.DataFrame(
            {
                "campaign_id": ["winter", "winter", "spring", "spring", "spring"],
                "coupon_id": ["c1", "c3", "c1", "c2", "c3"],
            }
        ),
    }
