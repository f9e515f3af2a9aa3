"""Which placements a log can carry."""

from dataclasses import dataclass

import polars as pl

REPEATERS = 100
"""members with two orders: with fewer, what a member buys again is guesswork"""
WHOLE_CARTS = 1_000
"""orders of two products: with fewer, few pairs are seen five times"""
SEARCHES = 1_000


@dataclass(frozen=True, slots=True)
class Placement:
    """Whether a placement has enough to learn from, and what it rests on."""

    placement: str
    carried: bool
    because: str


def placements(log: pl.DataFrame, purchases: pl.DataFrame) -> list[Placement]:
    """home, product, cart and search."""
    order = pl.coalesce(
        "order_id", pl.format("{} {}", "member_id", pl.col("occurred_at").dt.date())
    ).alias("order")
    orders = purchases.with_columns(order).drop_nulls("order")
    of_members = orders.drop_nulls("member_id").group_by("member_id")
    repeaters = int((of_members.agg(pl.col("order").n_unique())["order"] > 1).sum())
    sizes = orders.group_by("order").agg(pl.col("product_id").n_unique())["product_id"]
    carts = int((sizes > 1).sum())
    searches = int((log["kind"] == "search").sum())
    together = f"{carts:,} orders hold two products or more ({WHOLE_CARTS:,} are needed)"
    return [
        Placement(
            "home",
            repeaters >= REPEATERS,
            f"{repeaters:,} members have two orders or more ({REPEATERS:,} are needed)",
        ),
        Placement("product", carts >= WHOLE_CARTS, together),
        Placement("cart", carts >= WHOLE_CARTS, together),
        Placement(
            "search",
            searches >= SEARCHES,
            f"{searches:,} searches ({SEARCHES:,} are needed to learn from; the shop's own results "
            "can be ordered without)",
        ),
    ]
