"""A shop whose members' answer to a push is known.

Regulars order most weeks, and a push drives some away; the seldom come because of it. Whoever
orders after a push redeems, in nine of ten cases. So both redeem about alike.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

BEGIN = datetime(2026, 3, 2, tzinfo=UTC)
PUSH = BEGIN + timedelta(days=56, hours=9)
"""the first campaign's; what came before is 8 weeks of orders"""
AS_OF = BEGIN + timedelta(days=65)
MEMBERS = [f"m{number:04d}" for number in range(1600)]
REGULARS = frozenset(MEMBERS[::2])
ANYWAY = {True: 0.6, False: 0.1}
"""chance of a regular, and of one of the seldom, to order in a week"""
PUSHED = {True: 0.4, False: 0.5}
REDEEMED = 0.9
"""of the orders after a push"""
AMOUNT = 20.0
TIME = pl.Datetime("us", "UTC")
PRODUCTS = [f"p{number}" for number in range(6)]
CAMPAIGNS = ("first", "second")


def brought(member: str) -> float:
    """Orders that a push brings."""
    regular = member in REGULARS
    return PUSHED[regular] - ANYWAY[regular]


def write_moved_shop(folder: Path, *, seed: int = 3) -> Path:
    """The dataset up to the first campaign's push."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    orders = []
    for member in MEMBERS:
        for week in range(8):
            if rng.random() < ANYWAY[member in REGULARS]:
                orders.append((member, BEGIN + timedelta(days=7 * week + 6 * rng.random())))
    write_orders(folder / "events.parquet", orders, rng)
    pl.DataFrame({"member_id": MEMBERS}).write_parquet(folder / "members.parquet")
    pl.DataFrame(
        {"product_id": PRODUCTS, "category": ["A", "A", "A", "B", "B", "B"]}
    ).write_parquet(folder / "products.parquet")
    pl.DataFrame({"coupon_id": ["a"], "kind": ["amount"], "value": [1.0]}).write_parquet(
        folder / "coupons.parquet"
    )
    pl.DataFrame({"coupon_id": ["a"] * 6, "product_id": PRODUCTS}).write_parquet(
        folder / "coupon_products.parquet"
    )
    starts = [PUSH, PUSH + timedelta(days=14)]
    pl.DataFrame(
        {
            "campaign_id": CAMPAIGNS,
            "starts_at": starts,
            "ends_at": [start + timedelta(days=7) for start in starts],
        }
    ).write_parquet(folder / "campaigns.parquet")
    pl.DataFrame({"campaign_id": CAMPAIGNS, "coupon_id": ["a", "a"]}).write_parquet(
        folder / "campaign_coupons.parquet"
    )
    return folder


def write_orders(
    path: Path, orders: Iterable[tuple[str, datetime]], rng: np.random.Generator
) -> None:
    """One line each."""
    rows = [
        {
            "event_id": f"{member}-{at.isoformat()}",
            "order_id": f"{member}-{at.isoformat()}",
            "member_id": member,
            "product_id": PRODUCTS[int(rng.integers(6))],
            "kind": "purchase",
            "occurred_at": at,
            "amount": AMOUNT,
        }
        for member, at in orders
    ]
    pl.DataFrame(rows, schema_overrides={"occurred_at": TIME}).write_parquet(path)


def week_after(
    pushed: Mapping[str, bool], rng: np.random.Generator
) -> tuple[list[tuple[str, datetime]], list[tuple[str, datetime]]]:
    """Orders of the week after the push, and which of them redeem. pushed: member → or held out."""
    orders, redeemed = [], []
    for member in MEMBERS:
        regular, got = member in REGULARS, pushed.get(member, False)
        if rng.random() >= (PUSHED if got else ANYWAY)[regular]:
            continue
        order = member, PUSH + timedelta(days=0.1 + 6 * rng.random())
        orders.append(order)
        if got and rng.random() < REDEEMED:
            redeemed.append(order)
    return orders, redeemed


def write_tried_shop(folder: Path, *, share: float = 0.5, seed: int = 3) -> Path:
    """With a first campaign behind it, of which so many were held out by lot."""
    write_moved_shop(folder, seed=seed)
    rng = np.random.default_rng(seed + 1)
    held = dict(zip(MEMBERS, rng.random(len(MEMBERS)) < share, strict=True))
    orders, redeemed = week_after({member: not out for member, out in held.items()}, rng)
    (folder / "events").mkdir()
    write_orders(folder / "events" / "week.parquet", orders, rng)
    sent = [member for member in MEMBERS if not held[member]]
    tables: dict[str, dict[str, Any]] = {
        "pushes": {"member_id": sent, "sent_at": [PUSH] * len(sent)},
        "redemptions": {
            "member_id": [member for member, _ in redeemed],
            "redeemed_at": [at for _, at in redeemed],
        },
        "arms": {
            "member_id": MEMBERS,
            "at": [PUSH] * len(MEMBERS),
            "arm": ["holdout" if held[member] else "treat" for member in MEMBERS],
            "share": [share] * len(MEMBERS),
            "epoch": [1] * len(MEMBERS),
            "sent": [not held[member] for member in MEMBERS],
        },
    }
    for table, columns in tables.items():
        rows = pl.DataFrame(
            columns, schema_overrides={n: TIME for n in columns if n.endswith("at")}
        )
        named = rows.with_columns(campaign_id=pl.lit("first"), coupon_id=pl.lit("a"))
        named.write_parquet(folder / f"{table}.parquet")
    return folder
