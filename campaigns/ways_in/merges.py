"""Members who are one person, one by one or from a CSV file."""

from datetime import datetime
from pathlib import Path

from campaigns.ledger.ledger import Ledger
from campaigns.ledger.merging import merge
from campaigns.ways_in import rows
from campaigns.ways_in.rows import Cells, Columns, Imported, Reject
from recsys.errors import LedgerError

MERGES = Columns("merge file", ("merged", "survivor"), ("source",))
WORDS = {
    "in_flight": "a call to one of them is in flight; try again when it has ended",
    "merged_elsewhere": "was merged into another member before",
    "survivor_is_gone": "was merged into another member itself; name that one",
    "same_member": "is the very same member",
}
_COLUMN = {"survivor_is_gone": "survivor"}


def merge_members(ledger: Ledger, merged: str, survivor: str, *, now: datetime) -> bool:
    """Whether it is new; LedgerError says why it cannot be."""
    done = merge(ledger, merged, survivor, source="command", now=now)
    if done in WORDS:
        who = survivor if done in _COLUMN else merged
        raise LedgerError(f"'{merged}' is not merged into '{survivor}': '{who}' {WORDS[done]}")
    return done == "new"


def import_merges(path: Path, ledger: Ledger, *, now: datetime) -> Imported:
    """Merges the file's members in its order; the same file again does nothing."""
    rejects: list[Reject] = []
    new = known = 0
    for number, row in rows.read(path, MERGES, _pair):
        if isinstance(row, Reject):
            rejects.append(row)
            continue
        merged, survivor, source = row
        done = merge(ledger, merged, survivor, source=source, now=now)
        if done in WORDS:
            rejects.append(Reject(number, _COLUMN.get(done, "merged"), WORDS[done]))
        new, known = new + (done == "new"), known + (done == "known")
    return Imported(new, known, tuple(rejects))


def _pair(cells: Cells) -> tuple[str, str, str]:
    source = cells["source"].strip() or "import"
    return rows.named(cells, "merged"), rows.named(cells, "survivor"), source
