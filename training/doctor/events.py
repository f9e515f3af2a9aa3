"""Who did what: kinds, ids, bots, orders."""

from collections.abc import Iterator

import polars as pl

from training.doctor.finding import Finding

BOT_EVENTS_A_DAY = 1_000
BOT_SHARE = 0.01
"""of all events, by one member of at least a thousand"""
DUPLICATE_SHARE = 0.01
EVERYWHERE = 0.3
"""of all orders: more than any real product of the shops measured, less than a postage line"""
NEEDED_ORDERS = 20
"""fewer say nothing about shares"""


def findings(
    log: pl.DataFrame, purchases: pl.DataFrame, products: pl.DataFrame, members: pl.DataFrame
) -> Iterator[Finding]:
    """Of the events table."""
    yield from _kinds(log)
    yield from _swapped(log, products, members)
    yield from _nobodys(log)
    yield from _bots(log)
    yield from _duplicates(purchases)
    yield from _everywhere(purchases)


def _kinds(log: pl.DataFrame) -> Iterator[Finding]:
    kinds = set(log["kind"].unique())
    if "purchase" not in kinds:
        yield Finding(
            "no purchases", "error",
            f"all {len(log):,} events are of the kinds {', '.join(sorted(kinds))}",
            "import the orders as events of kind purchase: ranking learns from what is bought",
        )  # fmt: skip
    elif kinds == {"purchase"}:
        yield Finding(
            "one kind of event", "note",
            "there are purchases and nothing else: what a session says cannot be learned, and its "
            "weight keeps a default",
            "import views, clicks and carts as well, if the shop has them",
        )  # fmt: skip


def _swapped(log: pl.DataFrame, products: pl.DataFrame, members: pl.DataFrame) -> Iterator[Finding]:
    """Ids that stand in the other one's table."""
    for column, own, other in (
        ("product_id", products["product_id"], members["member_id"]),
        ("member_id", members["member_id"], products["product_id"]),
    ):
        ids = log[column].drop_nulls().unique()
        if not len(ids) or not len(other):
            continue
        right, wrong = ids.is_in(own.implode()).sum(), ids.is_in(other.implode()).sum()
        if wrong > max(right, len(ids) / 2):  # numbers may meet by chance
            table = "members" if column == "product_id" else "products"
            yield Finding(
                "swapped ids", "error",
                f"{wrong:,} of {len(ids):,} ids in events.{column} stand in the {table} table, "
                f"{right:,} where they should",
                f"check which column of the export became {column}, and import again",
                tuple(ids.filter(ids.is_in(other.implode())).sort().head(3)),
            )  # fmt: skip


def _nobodys(log: pl.DataFrame) -> Iterator[Finding]:
    nobodys = log.filter(pl.col("member_id").is_null() & pl.col("visitor_id").is_null())
    if len(nobodys) > len(log) / 2:
        yield Finding(
            "events of nobody", "warning",
            f"{len(nobodys):,} of {len(log):,} events have neither member_id nor visitor_id: they "
            "count for what is popular and bought together, and for nobody's own list",
            "export the customer's id, or the cookie's, with each event",
        )  # fmt: skip


def _bots(log: pl.DataFrame) -> Iterator[Finding]:
    who = pl.coalesce("member_id", "visitor_id").alias("who")
    known = log.select(who, "occurred_at").drop_nulls("who")
    by_day = known.group_by("who", pl.col("occurred_at").dt.date().alias("day")).len()
    in_all = known.group_by("who").len()
    busy = set(by_day.filter(pl.col("len") > BOT_EVENTS_A_DAY)["who"])
    if len(in_all) >= 1_000:
        busy |= set(in_all.filter(pl.col("len") > BOT_SHARE * len(known))["who"])
    if busy:
        theirs = int(in_all.filter(pl.col("who").is_in(list(busy)))["len"].sum())
        yield Finding(
            "bots or collective accounts", "warning",
            f"{len(busy):,} ids did {theirs / len(known):.0%} of all events, or more than "
            f"{BOT_EVENTS_A_DAY:,} on one day: what they do counts as what is popular",
            "leave out crawlers, test accounts and the till's own customer number",
            tuple(sorted(busy)[:3]),
        )  # fmt: skip


def _duplicates(purchases: pl.DataFrame) -> Iterator[Finding]:
    """Orders of the same member, second and lines under two ids."""
    orders = (
        purchases.drop_nulls(["order_id", "member_id"])
        .group_by("member_id", "order_id")
        .agg(pl.col("occurred_at").min(), pl.col("product_id").unique().sort().str.join(","))
    )
    again = orders.filter(
        pl.struct("member_id", "occurred_at", "product_id").is_duplicated()
        & (pl.col("product_id") != "")
    )
    extra = len(again) - again.select("member_id", "occurred_at", "product_id").unique().height
    if extra > DUPLICATE_SHARE * max(len(orders), 1):
        yield Finding(
            "duplicate orders", "error",
            f"{extra:,} of {len(orders):,} orders repeat another of the same member, instant and "
            "products: bought once looks like bought again",
            "export each order once; a re-run export must keep its order_id",
            tuple(again["order_id"].sort().head(3)),
        )  # fmt: skip


def _everywhere(purchases: pl.DataFrame) -> Iterator[Finding]:
    named = purchases.drop_nulls("order_id")
    orders = named["order_id"].n_unique()
    if orders < NEEDED_ORDERS:
        return
    counts = named.group_by("product_id").agg(pl.col("order_id").n_unique().alias("orders"))
    often = counts.filter(pl.col("orders") > EVERYWHERE * orders).sort("orders", descending=True)
    if len(often) and len(counts) >= 1 / EVERYWHERE**2:
        yield Finding(
            "in nearly every order", "warning",
            f"{len(often):,} products stand in more than {EVERYWHERE:.0%} of {orders:,} orders: "
            "postage, bags and fees push real products off the lists",
            "leave such lines out of the export, or set in_stock to false for them",
            tuple(often["product_id"].head(3)),
        )  # fmt: skip
