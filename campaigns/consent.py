"""Imports consent and contact points from a CSV file, row by row, with a reason for each reject."""

from collections.abc import Collection
from datetime import datetime
from pathlib import Path

from campaigns.ledger.consent import Statement, record
from campaigns.ledger.identity import Identity
from campaigns.ledger.ledger import Ledger
from campaigns.ways_in import rows
from campaigns.ways_in.rows import BadCellError, Cells, Columns, Imported, Reject

CONSENT = Columns(
    "consent file",
    ("member_id", "channel", "address", "consent", "at"),
    ("source", "timezone", "language"),
)
_ANSWERS = {"yes": True, "no": False}


def import_consent(
    path: Path, ledger: Ledger, *, now: datetime, double: Collection[str] = ()
) -> Imported:
    """Adds the file's statements to the ledger; the same file again adds nothing.

    A suppression is never reopened. double: channels on which a yes counts only once it is
    confirmed. DataError for a file without the required columns.
    """
    rejects: list[Reject] = []
    new = read = 0
    made = rows.read(path, CONSENT, lambda cells: _statement(cells, ledger.identity, now))
    for batch in rows.batches(made, rejects):
        new += record(ledger, [one for _, one in batch], now=now, double=double)
        read += len(batch)
    return Imported(new, read - new, tuple(rejects))


def _statement(cells: Cells, identity: Identity, now: datetime) -> Statement:
    member_id = rows.named(cells, "member_id")
    channel, _ = rows.contact(cells, identity)
    answer = cells["consent"].strip().lower()
    if answer not in _ANSWERS:
        raise BadCellError("consent", "must be yes or no")
    return Statement(
        member_id=member_id,
        channel=channel,
        address=cells["address"],
        granted=_ANSWERS[answer],
        at=rows.instant(cells, "at", now=now),
        source=cells["source"].strip() or "import",
        timezone=rows.zone(cells, "timezone"),
        language=cells["language"].strip() or None,
    )
