"""Consent, contact points and suppressions: histories that only grow."""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from campaigns.instants import to_micros
from campaigns.ledger.ledger import Ledger, wait_for_claims
from campaigns.ledger.opt_in import hold_back
from campaigns.ledger.suppressions import bar


@dataclass(frozen=True, slots=True)
class Statement:
    """What one member said about one channel, and where they are reached on it."""

    member_id: str
    channel: str
    address: str
    granted: bool
    at: datetime
    source: str
    timezone: str | None = None
    language: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where one person stands on a channel now."""

    person: str
    contact: str
    address: str
    granted: bool
    suppressed: bool
    timezone: str | None
    language: str | None
    slot_end: int | None
    """latest `until` of a push to the person or the contact point, in microseconds"""


def record(
    ledger: Ledger,
    statements: Sequence[Statement],
    *,
    now: datetime,
    double: Collection[str] = (),
) -> int:
    """Adds statements to the history; the same ones again add nothing. Returns how many were new.

    A suppression is another table, and no statement reaches it: importing never reopens one.
    double: channels on which a yes counts only once it is confirmed.
    """
    recorded_at = to_micros(now)
    new = 0
    with ledger.writing() as connection:
        wait_for_claims(connection)
        for one in statements:
            held = None
            if one.granted and one.channel in double:
                held = _hold_back(connection, ledger, one)
            new += _record(connection, ledger, one, recorded_at, held)
    return new


def _hold_back(connection: Connection, ledger: Ledger, one: Statement) -> bool | None:
    person = ledger.identity.person(one.member_id)
    contact = ledger.identity.contact(one.channel, one.address)
    at = to_micros(one.at)
    return hold_back(connection, person, one.channel, contact, at=at, source=one.source)


def _record(
    connection: Connection, ledger: Ledger, one: Statement, recorded_at: int, held: bool | None
) -> int:
    """held: what became of a yes that counts later, if it does."""
    person = ledger.identity.person(one.member_id)
    common = {
        "person": person,
        "channel": one.channel,
        "at": to_micros(one.at),
        "recorded_at": recorded_at,
        "source": one.source,
    }
    row = (
        None
        if held is not None
        else connection.execute(
            text(
                "INSERT INTO consent (person, channel, granted, at, recorded_at, source)"
                " VALUES (:person, :channel, :granted, :at, :recorded_at, :source)"
                " ON CONFLICT DO NOTHING RETURNING seq"
            ),
            common | {"granted": int(one.granted)},
        ).first()
    )
    contact = ledger.identity.contact(one.channel, one.address)
    connection.execute(
        text(
            "INSERT INTO contact_point (person, channel, contact, address, member_id, timezone,"
            " language, at, recorded_at, source)"
            " SELECT :person, :channel, :contact, :address, :member_id, :timezone, :language,"
            " :at, :recorded_at, :source WHERE NOT EXISTS (SELECT 1 FROM contact_point"
            " WHERE person = :person AND channel = :channel AND at = :at AND contact = :contact)"
        ),
        common
        | {
            "contact": contact,
            "address": one.address.strip(),
            "member_id": one.member_id,
            "timezone": one.timezone,
            "language": one.language,
        },
    )
    return int(held or row is not None)


def suppress(ledger: Ledger, keys: Iterable[str], *, reason: str, now: datetime) -> None:
    """Never again to these person or contact hashes. When it returns, no later claim commits."""
    with ledger.writing() as connection:
        wait_for_claims(connection)
        bar(connection, keys, reason, at=to_micros(now))


def standings(ledger: Ledger, channel: str) -> dict[str, Standing]:
    """Everyone who ever gave a contact point on the channel, by person hash."""
    with ledger.reading() as connection:
        rows = connection.execute(_STANDINGS, {"channel": channel})
        return {
            row.person: Standing(
                person=row.person,
                contact=row.contact,
                address=row.address,
                granted=row.granted == 1,
                suppressed=bool(row.suppressed),
                timezone=row.timezone,
                language=row.language,
                slot_end=row.slot_end,
            )
            for row in rows
            if row.address is not None
        }


_STANDINGS = text("""
SELECT p.person, p.contact, p.address, p.timezone, p.language, c.granted,
  EXISTS (SELECT 1 FROM suppression s WHERE s.key IN (p.person, p.contact)) AS suppressed,
  (SELECT MAX(u) FROM (
     SELECT MAX(until) AS u FROM send WHERE person = p.person AND pseq IS NOT NULL
     UNION ALL
     SELECT MAX(until) AS u FROM send WHERE contact = p.contact AND cseq IS NOT NULL) ends
  ) AS slot_end
FROM current_contact p
LEFT JOIN current_consent c ON c.person = p.person AND c.channel = p.channel
WHERE p.channel = :channel
""")
