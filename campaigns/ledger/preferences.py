"""What one member wants: read, and changed by adding to the histories."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from campaigns.instants import to_micros
from campaigns.ledger.ledger import Ledger, wait_for_claims

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


def prefer(ledger: Ledger, member_id: str, changes: Mapping[str, Change], *, now: datetime) -> None:
    """Adds what a member says of each channel. When it returns, no later claim commits against a
    withdrawal. A language is kept with the address: where there is none, it is not kept."""
    person, at = ledger.identity.person(member_id), to_micros(now)
    with ledger.writing() as connection:
        wait_for_claims(connection)
        for channel, change in changes.items():
            if change.push is not None:
                say(connection, person, channel, change.push, at=at, source=SOURCE)
            if change.language is not None:
                said = {"person": person, "channel": channel, "now": at, "source": SOURCE}
                connection.execute(_SPEAK, said | {"language": change.language})


def say(
    connection: Connection, person: str, channel: str, granted: bool, *, at: int, source: str
) -> None:
    """Add a yes or a no. What is said last counts, also where another machine's clock was ahead:
    never at an instant before that of what it takes back."""
    said = {"person": person, "channel": channel, "now": at, "source": source}
    connection.execute(_SAY, said | {"granted": int(granted)})


_SAY = text("""
INSERT INTO consent (person, channel, granted, at, recorded_at, source)
SELECT :person, :channel, :granted, CASE WHEN latest >= :now THEN latest + 1 ELSE :now END,
       :now, :source
FROM (SELECT MAX(at) AS latest FROM consent WHERE person = :person AND channel = :channel) said
""")

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
