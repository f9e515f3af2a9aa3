"""A new epoch for a ledger that was put back from a copy: what was sent since is not in it.

The epoch shuts out every sender of the time before. The gate stays closed for as long as a push
that nobody knows of could still be less than a week old.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import text

from campaigns.instants import from_micros, to_micros
from campaigns.ledger.ledger import PAST, Ledger, lock_gate
from recsys.ids import stable_hash


@dataclass(frozen=True, slots=True)
class Reopened:
    """What a restore came to."""

    epoch: str
    known_until: datetime
    """the last instant of the ledger as it was put back"""
    closed_until: datetime
    stranded: int
    """calls that were in flight in the copy, now `unknown`"""


def reopen(ledger: Ledger, *, now: datetime, closed: timedelta) -> Reopened:
    """Begins a new epoch, closed for sending. Every open ledger of the old one has to be opened
    anew."""
    at = to_micros(now)
    with ledger.writing() as connection:
        hi = lock_gate(connection)
        shut = to_micros(now + closed)
        stranded = connection.execute(_STRANDED, {"at": at}).rowcount
        connection.execute(_UNKNOWN)
        old, epoch = ledger.epoch, f"{stable_hash(f'{ledger.epoch} {at}'):016x}"
        connection.execute(_PAST, {"name": f"{PAST}{old}", "hi": str(hi)})
        row = connection.execute(_REOPEN, {"old": old, "epoch": epoch, "at": at, "shut": shut})
        closed_until = row.scalar_one()
    ledger.mark.ahead(epoch, max(hi, at), at_once=True)
    return Reopened(epoch, from_micros(hi), from_micros(closed_until), stranded)


def open_gate(ledger: Ledger, epoch: str) -> None:
    """Sending may begin: everything that was sent since the copy is in the ledger."""
    with ledger.writing() as connection:
        connection.execute(_OPEN, {"epoch": epoch})


_STRANDED = text("""
INSERT INTO outcome (plan_id, send_id, outcome, reason, at)
SELECT plan_id, send_id, 'unknown', 'restored', :at FROM send
WHERE state = 'attempting' AND plan_id <> ''
ON CONFLICT DO NOTHING
""")
_UNKNOWN = text("UPDATE send SET state = 'unknown' WHERE state = 'attempting'")
_PAST = text("INSERT INTO meta (name, value) VALUES (:name, :hi)")
_REOPEN = text(
    "UPDATE gate SET epoch = :epoch, hi = CASE WHEN hi > :at THEN hi ELSE :at END,"
    " closed_until = CASE WHEN closed_until > :shut THEN closed_until ELSE :shut END"
    " WHERE id = 1 AND epoch = :old RETURNING closed_until"
)
_OPEN = text("UPDATE gate SET closed_until = 0 WHERE id = 1 AND epoch = :epoch")
