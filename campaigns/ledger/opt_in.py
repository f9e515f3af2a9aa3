"""Double opt-in: a yes that counts once the link in a message to that very address was answered.

Until then it is a pending row here and no consent. What was asked, and when it was answered, stays
as the receipt.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, text

from campaigns.instants import to_micros
from campaigns.ledger.ledger import Ledger, wait_for_claims
from campaigns.ledger.saying import say

SOURCE = "double opt-in"
_MARK = "c"

Answer = Literal["confirmed", "changed", "barred"]
"""`changed`: they are reached elsewhere now, or not at all. `barred`: they are suppressed"""


@dataclass(frozen=True, slots=True)
class Pending:
    """A yes that nobody was asked to confirm yet."""

    seq: int
    person: str
    channel: str
    contact: str
    address: str
    language: str | None

    @property
    def key(self) -> str:
        """What its link carries."""
        return "-".join((_MARK, self.person, self.channel, self.contact))


def hold_back(
    connection: Connection, person: str, channel: str, contact: str, *, at: int | None, source: str
) -> bool | None:
    """A yes of an instant, or of now, on a channel of double opt-in.

    None: it counts as it is, for it was confirmed, or given before there was double opt-in.
    Otherwise whether it is newly pending.

    To be asked before the contact point is stored: a yes at a new one stops the old one's.
    """
    who = {"person": person, "channel": channel, "contact": contact}
    state = connection.execute(_STATE, who).one()
    if state.pending or (at is not None and at <= (state.confirmed_at or 0)):
        return False
    if state.granted == 1 and state.current == contact:
        return None
    if at is not None and at <= (state.said_at or 0):
        return False
    if state.granted == 1 and at is not None:
        say(connection, person, channel, False, at=at, source=SOURCE)
    connection.execute(_HOLD, who | {"source": source})
    return True


def pending(ledger: Ledger) -> list[Pending]:
    """Everyone who is still to be asked, and may be."""
    with ledger.reading() as connection:
        return [Pending(*row) for row in connection.execute(_PENDING)]


def asked(ledger: Ledger, ones: Sequence[Pending], *, wording: str, now: datetime) -> None:
    """The messages are on their way, with this text."""
    with ledger.writing() as connection:
        for one in ones:
            row = {"seq": one.seq, "wording": wording, "at": to_micros(now)}
            connection.execute(_ASKED, row)


def wording_of(ledger: Ledger, key: str) -> str | None:
    """What the one behind a link was asked; None for a link that was never sent."""
    who = _who(key)
    if who is None:
        return None
    with ledger.reading() as connection:
        found = connection.execute(_WORDING, who).scalar()
    return None if found is None else str(found)


def confirm(ledger: Ledger, key: str, *, now: datetime) -> Answer | None:
    """The link was answered: the yes counts from now on. The same again changes nothing."""
    who = _who(key)
    if who is None:
        return None
    with ledger.writing() as connection:
        wait_for_claims(connection)
        row = connection.execute(_CONFIRMABLE, who).first()
        if row is None:
            return None
        if row.current != who["contact"] or row.address is None:
            return "changed"
        if row.barred:
            return "barred"
        if row.confirmed_at is None:
            at = to_micros(now)
            connection.execute(_CONFIRM, {"seq": row.seq, "at": at})
            say(connection, who["person"], who["channel"], True, at=at, source=SOURCE)
    return "confirmed"


def _who(key: str) -> dict[str, str] | None:
    parts = key.split("-")
    if len(parts) != 4 or parts[0] != _MARK:
        return None
    return dict(zip(("person", "channel", "contact"), parts[1:], strict=True))


_OF_POINT = "FROM opt_in WHERE person = :person AND channel = :channel AND contact = :contact"
_LATEST = f"{_OF_POINT} ORDER BY seq DESC LIMIT 1"
_ASKED_LATEST = f"{_OF_POINT} AND asked_at > 0 ORDER BY seq DESC LIMIT 1"
_POINT = (
    "FROM contact_point WHERE person = :person AND channel = :channel"
    " ORDER BY at DESC, seq DESC LIMIT 1"
)
_SAID = (
    "FROM consent WHERE person = :person AND channel = :channel"
    " ORDER BY at DESC, granted, seq DESC LIMIT 1"
)
_STATE = text(f"""
SELECT EXISTS (SELECT 1 FROM opt_in o WHERE o.person = :person AND o.channel = :channel
    AND o.contact = :contact AND o.confirmed_at IS NULL) AS pending,
  (SELECT confirmed_at {_LATEST}) AS confirmed_at, (SELECT contact {_POINT}) AS current,
  (SELECT granted {_SAID}) AS granted, (SELECT at {_SAID}) AS said_at
""")
_HOLD = text(
    "INSERT INTO opt_in (person, channel, contact, wording, source, asked_at)"
    " VALUES (:person, :channel, :contact, '', :source, 0)"
)
_PENDING = text("""
SELECT o.seq, o.person, o.channel, o.contact, p.address, p.language FROM opt_in o
JOIN current_contact p ON p.person = o.person AND p.channel = o.channel AND p.contact = o.contact
WHERE o.asked_at = 0 AND o.confirmed_at IS NULL AND p.address IS NOT NULL
  AND NOT EXISTS (SELECT 1 FROM suppression s WHERE s.key IN (o.person, o.contact))
ORDER BY o.seq
""")
_ASKED = text("UPDATE opt_in SET asked_at = :at, wording = :wording WHERE seq = :seq")
_WORDING = text(f"SELECT wording {_ASKED_LATEST}")
_CONFIRMABLE = text(f"""
SELECT seq, confirmed_at, (SELECT contact {_POINT}) AS current,
  (SELECT address {_POINT}) AS address,
  EXISTS (SELECT 1 FROM suppression s WHERE s.key IN (:person, :contact)) AS barred
{_ASKED_LATEST}
""")
_CONFIRM = text("UPDATE opt_in SET confirmed_at = :at WHERE seq = :seq AND confirmed_at IS NULL")
