"""What the member behind the link of a message may choose: to keep a channel, or to stop it."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from campaigns.instants import to_micros
from campaigns.ledger.ledger import Ledger, wait_for_claims
from campaigns.ledger.saying import say

SOURCE = "page"


@dataclass(frozen=True, slots=True)
class Choices:
    """Of the person that a message went to."""

    person: str
    contact: str
    stopped: bool
    """nothing comes any more, whatever is chosen"""
    channels: Mapping[str, bool]
    """the message's own channel, and those that the member agreed to; whether they come"""


def choices(ledger: Ledger, send_id: str) -> Choices | None:
    """What counts now; None for a message that was never tried."""
    with ledger.reading() as connection:
        return _choices(connection, send_id)


def choose(
    ledger: Ledger, send_id: str, wanted: Collection[str], *, now: datetime
) -> Choices | None:
    """Keeps the wanted channels of those there are to choose, and stops the others.

    A yes is taken for the message's own channel alone: who has the link reads it there. When it
    returns, no later claim commits against a no.
    """
    with ledger.writing() as connection:
        wait_for_claims(connection)
        found = _choices(connection, send_id)
        if found is None or found.stopped:
            return found
        for channel, comes in found.channels.items():
            if comes != (channel in wanted):
                at = to_micros(now)
                say(connection, found.person, channel, not comes, at=at, source=SOURCE)
        return _choices(connection, send_id)


def _choices(connection: Connection, send_id: str) -> Choices | None:
    row = connection.execute(_SEND, {"key": send_id}).first()
    if row is None:
        return None
    granted = connection.execute(_GRANTED, {"person": row.person}).scalars()
    comes = {row.channel: False} | dict.fromkeys(granted, True)
    return Choices(row.person, row.contact, bool(row.stopped), dict(sorted(comes.items())))


_SEND = text("""
SELECT person, contact, channel,
  EXISTS (SELECT 1 FROM suppression s WHERE s.key IN (send.person, send.contact)) AS stopped
FROM send WHERE send_id = :key ORDER BY try DESC LIMIT 1
""")
_GRANTED = text("SELECT channel FROM current_consent WHERE person = :person AND granted = 1")
