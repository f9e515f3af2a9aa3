"""Which coupons nobody can use any more, so that what was reserved for them is free."""

from collections.abc import Collection
from datetime import datetime, timedelta

import polars as pl

from campaigns.audience import Tables
from campaigns.ledger.expiring import release, reserved_coupons
from campaigns.ledger.ledger import Ledger
from recsys.dataset.listing import coupons_of, listed

LATE = timedelta(days=2)
"""a checkout's report may come so long after the coupon's end"""


def release_expired(ledger: Ledger, dataset: Tables, *, now: datetime) -> int:
    """Frees the discounts reserved for coupons that ended; minor units."""
    return release(ledger, _expired(dataset, reserved_coupons(ledger), now))


def _expired(dataset: Tables, among: Collection[str], now: datetime) -> set[str]:
    """Those that are over wherever the dataset has them; one that it lacks is not."""
    if not among:
        return set()
    coupons = dataset.scan("coupons").filter(pl.col("coupon_id").is_in(list(among)))
    tables = (dataset.scan(name) for name in ("campaign_coupons", "campaigns"))
    known = coupons_of(listed(coupons, *tables).collect())
    ended = (now - LATE).timestamp() / 86_400
    open_still = {
        one.coupon_id for one in known if one.valid_until is None or one.valid_until > ended
    }
    return {one.coupon_id for one in known} - open_still
