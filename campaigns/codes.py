"""Coupon codes as files: pools in from a shop's own system, states out to its checkout."""

import csv
import io
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from campaigns.audience import Tables
from campaigns.csv_file import rows_of
from campaigns.files import sync_folder, write_whole
from campaigns.ledger.codes import Pool, add_codes, all_codes, pools
from campaigns.ledger.ledger import Ledger
from campaigns.ways_in.rows import Reject

REQUIRED = ("code", "coupon_id")
EXPORTED = ("code", "coupon_id", "state", "campaign_id", "member_id", "order_id")
# What links and headers carry as it is (RFC 3986 2.3).
_CODE = re.compile(r"[A-Za-z0-9._~-]{4,64}")
_BATCH = 5_000


@dataclass(frozen=True, slots=True)
class ImportedCodes:
    """How an import went, and what the pools hold after it."""

    new: int
    known: int
    rejects: tuple[Reject, ...]
    """they carry no code"""
    pools: Mapping[str, Pool]


def import_codes(path: Path, ledger: Ledger, dataset: Tables, *, now: datetime) -> ImportedCodes:
    """Adds a CSV file's codes to the pools of their coupons; the same file again adds nothing.

    DataError for a file that is not one of codes.
    """
    coupons = set(dataset.scan("coupons").select("coupon_id").collect()["coupon_id"].to_list())
    rejects: list[Reject] = []
    rows: dict[str, int] = {}
    batch: dict[str, str] = {}
    new = known = 0

    def add() -> None:
        nonlocal new, known
        added = add_codes(ledger, batch, now=now)
        new, known = new + added.new, known + added.known
        for code, coupon in added.taken.items():
            rejects.append(Reject(rows[code], "code", f"stands for coupon '{coupon}' already"))
        batch.clear()

    for number, row in rows_of(path, "code file", required=REQUIRED):
        code, coupon = ((row[name] or "").strip() for name in ("code", "coupon_id"))
        if not _CODE.fullmatch(code):
            rejects.append(Reject(number, "code", "must be 4 to 64 of A-Z a-z 0-9 . _ ~ -"))
        elif coupon not in coupons:
            rejects.append(Reject(number, "coupon_id", f"the dataset has no coupon '{coupon}'"))
        elif batch.get(code, coupon) != coupon:
            rejects.append(Reject(number, "code", f"stands for coupon '{batch[code]}' already"))
        else:
            known += code in batch
            batch[code], rows[code] = coupon, number
            if len(batch) == _BATCH:
                add()
    add()
    return ImportedCodes(new, known, tuple(sorted(rejects, key=lambda r: r.row)), pools(ledger))


def export_codes(ledger: Ledger, path: Path) -> int:
    """Writes every code and its state as a whole CSV file; returns how many there are.

    The checkout accepts what is `sent`, for its member, and refuses what is `free` or `redeemed`.
    """
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(EXPORTED)
    count = 0
    for count, one in enumerate(all_codes(ledger), start=1):  # noqa: B007
        rows.writerow([getattr(one, name) for name in EXPORTED])
    write_whole(path, text.getvalue().encode())
    sync_folder(path.parent)
    return count
