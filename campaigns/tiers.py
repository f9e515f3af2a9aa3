"""Members' tiers: who has which, and names of tiers that nobody has."""

import difflib
from collections.abc import Collection, Sequence
from datetime import datetime

import polars as pl

from campaigns.audience import Tables
from recsys.errors import CampaignError


def tier_of(dataset: Tables, member_id: str, *, at: datetime) -> str | None:
    """What the latest row until then that names one says; None where none does."""
    rows = (
        dataset.scan("members")
        .filter(
            pl.col("member_id") == member_id,
            pl.col("tier").is_not_null(),
            pl.col("valid_from").is_null() | (pl.col("valid_from") <= at),
        )
        .sort("valid_from", nulls_last=False, maintain_order=True)
        .select("tier")
        .collect()["tier"]
    )
    return str(rows[-1]) if len(rows) else None


def check_tiers(campaign: str, coupons: Sequence[str], dataset: Tables, *, now: datetime) -> None:
    """CampaignError for a coupon that names a tier which no member has."""
    named = (
        dataset.scan("coupons")
        .filter(pl.col("coupon_id").is_in(list(coupons)) & (pl.col("tiers").list.len() > 0))
        .select("coupon_id", "tiers")
        .sort("coupon_id")
        .collect()
    )
    if named.is_empty():
        return
    members = dataset.known("members", now, undated=True)
    for coupon, tiers in named.iter_rows():
        refuse_unknown(tiers, members, f"In campaign '{campaign}' coupon '{coupon}' is for")


def refuse_unknown(tiers: Collection[str], members: pl.DataFrame, what: str) -> None:
    """CampaignError for a tier that none of the members has; names the nearest."""
    known = sorted(members["tier"].drop_nulls().unique().to_list())
    for tier in sorted(set(tiers).difference(known)):
        near = difflib.get_close_matches(tier, known, 1, 0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"members have {', '.join(known)}"
        raise CampaignError(
            f"{what} the tier '{tier}', which no member has; "
            + (hint if known else "the table members names no tiers")
        )
