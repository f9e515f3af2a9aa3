"""What one member wants: read, and changed by adding to the histories."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from campaigns.instants import to_micros
from campaigns.ledger.ledger import Ledger, wait_for_claims
from campaigns.ledger.opt_in import hold_back
from campaigns.ledger.saying import say

SOURCE = "preferences"


@dataclass(frozen=True, slots=True)
class Preference:
    """Of one member on one channel. Who never said anything wants nothing."""

    push: bool = False
    stopped: bool = False
    """the member left by the link in a message, which no later yes takes back"""
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What a member says now; None leaves it as it is."""

    push: bool | None
    language: str | None


def preference(ledger: Ledger, member_id: str, channel: str) -> Preference:
    """What counts now."""
    who = {"person": ledger.identity.person(member_id), "channel": channel}
    with ledger.reading() as connection:
        row = connection.execute(_READ, who).one()
    stopped = bool(row.stopped)
    return Preference(row.granted == 1 and not stopped, stopped, row.language)


def prefer(
    ledger: Ledger,
    member_id: str,
    changes: Mapping[str, Change],
    *,
    now: datetime,
    double: Collection[str] = (),
) -> None:
    """Adds what a member says of each channel. When it returns, no later claim commits against a
    withdrawal. A language is kept with the address: where there is none, it is not kept.

    double: channels on which a yes counts once it is confirmed, and not where there is no address.
    """
    person, at = ledger.identity.person(member_id), to_micros(now)
    with ledger.writing() as connection:
        wait_for_claims(connection)
        for channel, change in changes.items():
            held = change.push and channel in double and _held_back(connection, person, channel)
            if change.push is not None and not held:
                say(connection, person, channel, change.push, at=at, source=SOURCE)
            if change.language is not None:
                said = {"person": person, "channel": channel, "now": at, "source": SOURCE}
                connection.execute(_SPEAK, said | {"language": change.language})


def _held_back(connection: Connection, person: str, channel: str) -> bool:
    contact = connection.execute(_CONTACT, {"person": person, "channel": channel}).scalar()
    if contact is None:
        return True
    held = hold_back(connection, person, channel, str(contact), at=None, source=SOURCE)
    return held is not None


_CONTACT = text(
    "SELECT contact FROM contact_point WHERE person = :person AND channel = :channel"
    " ORDER BY at DESC, seq DESC LIMIT 1"
)
_SPEAK = text("""
INSERT INTO contact_point (person, channel, contact, address, member_id, timezone, language,
                           at, recorded_at, source)
SELECT person, channel, contact, address, member_id, timezone, :language,
       CASE WHEN at >= :now THEN at + 1 ELSE :now END, :now, :source
FROM (SELECT * FROM contact_point WHERE person = :person AND channel = :channel
      ORDER BY at DESC, seq DESC LIMIT 1) latest
WHERE address IS NOT NULL AND (language IS NULL OR language <> :language)
""")

_READ = text("""
SELECT (SELECT granted FROM consent WHERE person = :person AND channel = :channel
          ORDER BY at DESC, granted, seq DESC LIMIT 1) AS granted,
       (SELECT language FROM contact_point WHERE person = :person AND channel = :channel
          ORDER BY at DESC, seq DESC LIMIT 1) AS language,
       EXISTS (SELECT 1 FROM suppression WHERE key = :person) AS stopped
""")
