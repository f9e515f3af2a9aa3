"""Contact points by themselves: where people are reached, whatever they agreed to."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, text

from campaigns.instants import to_micros
from campaigns.ledger.ledger import Ledger, wait_for_claims


@dataclass(frozen=True, slots=True)
class Contact:
    """Where one member is reached on one channel, as was known at an instant."""

    member_id: str
    channel: str
    contact: str
    address: str
    at: datetime
    source: str
    timezone: str | None = None
    language: str | None = None


def add_contacts(ledger: Ledger, contacts: Sequence[Contact], *, now: datetime) -> int:
    """Adds contact points to the history and no consent; returns how many were new."""
    new = 0
    with ledger.writing() as connection:
        wait_for_claims(connection)
        for one in contacts:
            row = {
                "person": ledger.identity.person(one.member_id),
                "channel": one.channel,
                "contact": one.contact,
                "address": one.address,
                "member_id": one.member_id,
                "timezone": one.timezone,
                "language": one.language,
                "at": to_micros(one.at),
                "now": to_micros(now),
                "source": one.source,
            }
            new += connection.execute(_ADD, row).first() is not None
    return new


def people_at(ledger: Ledger, contacts: Sequence[str]) -> dict[str, list[str]]:
    """The people who were ever reached at these contact hashes; those of nobody are left out."""
    found: dict[str, list[str]] = {}
    if not contacts:
        return found
    with ledger.reading() as connection:
        for row in connection.execute(_AT, {"contacts": list(contacts)}):
            found.setdefault(row.contact, []).append(row.person)
    return found


_ADD = text("""
INSERT INTO contact_point (person, channel, contact, address, member_id, timezone, language, at,
                           recorded_at, source)
SELECT :person, :channel, :contact, :address, :member_id, :timezone, :language, :at, :now, :source
WHERE NOT EXISTS (SELECT 1 FROM contact_point WHERE person = :person AND channel = :channel
                  AND at = :at AND contact = :contact)
RETURNING seq
""")
_AT = text(
    "SELECT DISTINCT contact, person FROM contact_point WHERE contact IN :contacts"
    " ORDER BY contact, person"
).bindparams(bindparam("contacts", expanding=True))
