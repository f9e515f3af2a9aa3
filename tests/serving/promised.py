"""What a ledger might tell: so many pushes, half of them held out."""

from datetime import UTC, datetime, timedelta

import polars as pl

BEGIN = datetime(2026, 1, 1, tzinfo=UTC)


def promised(pushes: int) -> dict[str, pl.DataFrame]:
    """By table, as the ledger has it: shares as text, flags as numbers."""
    rows = range(pushes)
    whose = {
        "member_id": [f"m{row}" for row in rows],
        "campaign_id": ["k"] * pushes,
        "coupon_id": ["c"] * pushes,
    }
    times = [BEGIN + timedelta(hours=row) for row in rows]
    return {
        "pushes": pl.DataFrame({"sent_at": times, **whose, "channel": ["email"] * pushes}),
        "redemptions": pl.DataFrame(
            {"redeemed_at": times, **whose, "order_id": whose["member_id"]}
        ),
        "arms": pl.DataFrame(
            {
                "at": times,
                **whose,
                "arm": ["holdout" if row % 2 else "treat" for row in rows],
                "share": ["0.5"] * pushes,
                "epoch": [1] * pushes,
                "sent": [1 - row % 2 for row in rows],
            }
        ),
    }
