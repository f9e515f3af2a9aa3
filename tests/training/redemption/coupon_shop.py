"""The small shop with a past of campaigns, whose members redeem by a rule that can be found out.

Eight campaigns of a week, each with six coupons for a shelf of products; half of the members are
pushed. Who is a saver (every third member) redeems the coupons for what it has bought most of.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from tests.small_shop import BEGIN, DAYS, MEMBERS, PRODUCTS, TIME, write_small_shop

CAMPAIGNS = 8
COUPONS = 6
SAVERS = MEMBERS[::3]
Change = Callable[[pl.DataFrame], pl.DataFrame]


def start(campaign: int) -> datetime:
    """The last one ends 14 days before the log does."""
    return BEGIN + timedelta(days=DAYS - 21 - 10 * (CAMPAIGNS - 1 - campaign))


def shelf(coupon: int, campaign: int) -> list[str]:
    """Five products, other ones in each campaign."""
    first = (10 * coupon + 5 * (campaign % 2)) % len(PRODUCTS)
    return PRODUCTS[first : first + 5]


def write_coupon_shop(folder: Path) -> Path:
    """Write the dataset and return its folder."""
    write_small_shop(folder)
    rng = np.random.default_rng(5)
    events = pl.read_parquet(folder / "events.parquet").filter(pl.col("kind") == "purchase")
    tables: dict[str, list[dict[str, object]]] = {
        name: [] for name in ("campaigns", "campaign_coupons", "coupon_products", "pushes",
                              "redemptions", "coupons")
    }  # fmt: skip
    for campaign in range(CAMPAIGNS):
        name, begins = f"k{campaign}", start(campaign)
        tables["campaigns"].append(
            {"campaign_id": name, "starts_at": begins, "ends_at": begins + timedelta(days=7)}
        )
        coupons = [f"{name}-{number}" for number in range(COUPONS)]
        for number, coupon in enumerate(coupons):
            tables["coupons"].append(
                {"coupon_id": coupon, "kind": "amount", "value": 1.0, "min_quantity": 1.0}
            )
            tables["campaign_coupons"].append({"campaign_id": name, "coupon_id": coupon})
            tables["coupon_products"] += [
                {"coupon_id": coupon, "product_id": product} for product in shelf(number, campaign)
            ]
        before = events.filter(pl.col("occurred_at") < begins)
        for member in rng.choice(MEMBERS, len(MEMBERS) // 2, replace=False).tolist():
            tables["pushes"].append({"member_id": member, "campaign_id": name, "sent_at": begins})
            own = before.filter(pl.col("member_id") == member)["product_id"]
            counts = [own.is_in(shelf(number, campaign)).sum() for number in range(COUPONS)]
            best = int(np.argmax(counts))
            if member in SAVERS and counts[best] and rng.random() < 0.8:
                tables["redemptions"].append(
                    {"member_id": member, "coupon_id": coupons[best], "campaign_id": name,
                     "redeemed_at": begins + timedelta(days=3)}
                )  # fmt: skip
    for table, rows in tables.items():
        times = {column: TIME for column in rows[0] if column.endswith("_at")}
        pl.DataFrame(rows, schema_overrides=times).write_parquet(folder / f"{table}.parquet")
    return folder


def rewrite(folder: Path, table: str, change: Change) -> None:
    """Change a table of a copy in place."""
    path = folder / f"{table}.parquet"
    change(pl.read_parquet(path)).write_parquet(path)
