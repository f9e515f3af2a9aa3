"""Two members who are one person: nothing that one of them may not get comes by the other."""

from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, text

from campaigns.instants import to_micros
from campaigns.ledger.carry import NEVER, End, end_of, link
from campaigns.ledger.ledger import Ledger, wait_for_claims
from campaigns.ledger.saying import say
from campaigns.ledger.suppressions import bar

SOURCE = "merge"

Merged = Literal["new", "known", "in_flight", "merged_elsewhere", "survivor_is_gone", "same_member"]
"""`known`: it was done before. All after it: nothing was done, and why"""


def merge(
    ledger: Ledger, merged_id: str, survivor_id: str, *, source: str, now: datetime
) -> Merged:
    """Takes one member into another, for good.

    The merged one is never pushed to again. The survivor takes over a later end of the week, a
    suppression, and each no that is later than their own last word; never a yes. Who is held out
    stays as it is.
    """
    merged, survivor = ledger.identity.person(merged_id), ledger.identity.person(survivor_id)
    at = to_micros(now)
    with ledger.writing() as connection:
        wait_for_claims(connection)
        why = _why_not(connection, merged, survivor)
        if why is not None:
            return why
        row = {"merged": merged, "survivor": survivor, "source": source, "at": at}
        connection.execute(_MERGE, row)
        _carry(connection, merged, survivor, at)
        reason = connection.execute(_SUPPRESSED, {"key": merged}).scalar()
        if reason is not None:
            bar(connection, [survivor], reason, at=at)
        for channel in list(connection.execute(_LATER_NO, row).scalars()):
            say(connection, survivor, channel, False, at=at, source=SOURCE)
        for channel in list(connection.execute(_GRANTED, {"person": merged}).scalars()):
            say(connection, merged, channel, False, at=at, source=SOURCE)
    return "new"


def _why_not(connection: Connection, merged: str, survivor: str) -> Merged | None:
    if merged == survivor:
        return "same_member"
    into = connection.execute(_INTO, {"person": merged}).scalar()
    if into is not None:
        return "known" if into == survivor else "merged_elsewhere"
    if connection.execute(_INTO, {"person": survivor}).scalar() is not None:
        return "survivor_is_gone"
    both = {"merged": merged, "survivor": survivor}
    return "in_flight" if connection.execute(_FLYING, both).first() else None


def _carry(connection: Connection, merged: str, survivor: str, at: int) -> None:
    """The merged one's chain ends for good; the survivor's goes on from the later end."""
    gone, kept = (end_of(connection, "person", person) or End() for person in (merged, survivor))
    _link(connection, f"merge-gone-{merged}", merged, gone, at=at, until=NEVER)
    if gone.until is not None and (kept.until is None or gone.until > kept.until):
        _link(connection, f"merge-kept-{merged}", survivor, kept, at=at, until=gone.until)


def _link(connection: Connection, key: str, person: str, end: End, *, at: int, until: int) -> None:
    link(
        connection, key=key, source=SOURCE, channel="", who=(person, ""), after=(end, None),
        at=at, until=until,
    )  # fmt: skip


_MERGE = text(
    "INSERT INTO merge (merged, survivor, source, at) VALUES (:merged, :survivor, :source, :at)"
)
_INTO = text("SELECT survivor FROM merge WHERE merged = :person")
_FLYING = text("SELECT 1 FROM send WHERE state = 'attempting' AND person IN (:merged, :survivor)")
_SUPPRESSED = text("SELECT reason FROM suppression WHERE key = :key")
_GRANTED = text("SELECT channel FROM current_consent WHERE person = :person AND granted = 1")
_LATER_NO = text("""
SELECT m.channel FROM current_consent m
JOIN current_consent s ON s.person = :survivor AND s.channel = m.channel
WHERE m.person = :merged AND m.granted = 0 AND s.granted = 1 AND m.at >= s.at
ORDER BY m.channel
""")
