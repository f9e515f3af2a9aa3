"""What providers say of messages of ours after the call: early, late, twice, in any order.

Each step only ever goes one way, so any order of the same events ends the same. That a provider
speaks of a message proves that it took it: a call whose end is open is then `accepted`. One that
reached nobody keeps its slot, and its coupon, code and money are there again.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, bindparam, text

from campaigns.instants import to_micros
from campaigns.ledger.codes import free_codes_of
from campaigns.ledger.ledger import Ledger, wait_for_claims
from campaigns.ledger.outcomes import record_outcomes
from campaigns.ledger.purses import purses, put_back
from campaigns.ledger.suppressions import bar

Kind = Literal["delivered", "bounced", "complained", "unregistered", "unsubscribed", "failed"]

UNDELIVERED = frozenset({"bounced", "unregistered", "failed"})
"""nobody got the message"""
_OF_CONTACT = frozenset({"bounced", "unregistered"})
_OF_BOTH = frozenset({"complained", "unsubscribed"})


@dataclass(frozen=True, slots=True)
class Feedback:
    """One event at one message."""

    event_id: str
    """the provider's; the same again changes nothing"""
    send_id: str
    kind: Kind
    at: datetime


@dataclass(frozen=True, slots=True)
class Heard:
    """What became of a provider's events."""

    new: int
    known: int
    strange: int
    """about messages that are none of ours: nothing was written"""


def hear(ledger: Ledger, provider: str, events: Sequence[Feedback], *, now: datetime) -> Heard:
    """Records events and what follows from them, all in one transaction."""
    if not events:
        return Heard(0, 0, 0)
    at, new, known = to_micros(now), 0, 0
    with ledger.writing() as connection:
        wait_for_claims(connection)
        ours = _ours(connection, [one.send_id for one in events])
        for one in events:
            if one.send_id not in ours:
                continue
            row = {"provider": provider, "event_id": one.event_id, "send_id": one.send_id,
                   "kind": one.kind, "at": to_micros(one.at), "now": at}  # fmt: skip
            if connection.execute(_RECORD, row).first() is None:
                known += 1
                continue
            new += 1
            _follow(connection, ours[one.send_id], one.kind, at=at)
    return Heard(new, known, len(events) - new - known)


def _ours(connection: Connection, keys: Sequence[str]) -> dict[str, Row[Any]]:
    """The latest try of each send that called somebody: not of one held out or carried."""
    rows = connection.execute(_OURS, {"keys": sorted(set(keys))})
    return {row.send_id: row for row in rows}


def _follow(connection: Connection, row: Row[Any], kind: Kind, *, at: int) -> None:
    key = {"key": row.send_id}
    for open_one in connection.execute(_TAKEN, key).all():
        record_outcomes(
            connection,
            [(open_one.plan_id, row.send_id)],
            outcome="accepted",
            reason="accepted",
            at=at,
        )
    if kind in _OF_CONTACT:
        bar(connection, [row.contact], kind, at=at)
    elif kind in _OF_BOTH:
        bar(connection, [row.person, row.contact], kind, at=at)
    if kind in UNDELIVERED:
        released = connection.execute(_RELEASABLE, key).first()
        if released is not None:
            connection.execute(_RELEASE, key)
            parts = purses(released.campaign, released.coupon, released.cost, released.reserved)
            put_back(connection, parts)
            free_codes_of(connection, [row.send_id])


@dataclass(frozen=True, slots=True)
class Rates:
    """Of the messages that a channel was handed since an instant, how many had which feedback."""

    sent: int = 0
    delivered: int = 0
    bounced: int = 0
    complained: int = 0
    unregistered: int = 0
    unsubscribed: int = 0
    failed: int = 0


def rates(ledger: Ledger, *, since: datetime) -> dict[str, Rates]:
    """By channel, for breakers: messages whose calls began since then."""
    found: dict[str, dict[str, int]] = {}
    with ledger.reading() as connection:
        for row in connection.execute(_RATES, {"since": to_micros(since)}):
            found.setdefault(row.channel, {})[row.kind or "sent"] = row.sends
    return {channel: Rates(**kinds) for channel, kinds in found.items()}


# A try that was given back was not made, as far as its sender knew; the latest one speaks for it.
_OURS = text(
    "SELECT send_id, person, contact FROM send s WHERE send_id IN :keys AND ghost = 0"
    " AND plan_id <> '' AND state <> 'carry'"
    " AND try = (SELECT MAX(try) FROM send t WHERE t.send_id = s.send_id)"
).bindparams(bindparam("keys", expanding=True))
_RECORD = text(
    "INSERT INTO feedback (provider, event_id, send_id, kind, at, recorded_at)"
    " VALUES (:provider, :event_id, :send_id, :kind, :at, :now)"
    " ON CONFLICT DO NOTHING RETURNING send_id"
)
_TAKEN = text(
    "UPDATE send SET state = 'accepted' WHERE send_id = :key AND state IN ('attempting', 'unknown')"
    " RETURNING plan_id"
)
# What was redeemed was received, whatever the provider says.
_RELEASABLE = text(
    "SELECT campaign, coupon, cost, reserved FROM send WHERE send_id = :key"
    " AND state = 'accepted' AND released = 0"
    " AND NOT EXISTS (SELECT 1 FROM redemption r WHERE r.send_id = send.send_id"
    " AND r.reversed_at IS NULL)"
)
_RELEASE = text(
    "UPDATE send SET released = 1, reserved = 0 WHERE send_id = :key AND state = 'accepted'"
)
_RATES = text("""
SELECT channel, NULL AS kind, COUNT(*) AS sends FROM send
WHERE at >= :since AND ghost = 0 AND plan_id <> '' AND state IN ('accepted', 'unknown')
GROUP BY channel
UNION ALL
SELECT s.channel, f.kind, COUNT(DISTINCT f.send_id) FROM send s
JOIN feedback f ON f.send_id = s.send_id
WHERE s.at >= :since AND s.ghost = 0 AND s.plan_id <> '' AND s.state IN ('accepted', 'unknown')
GROUP BY s.channel, f.kind
""")
