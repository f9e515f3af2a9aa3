"""Suppressions that a list brings: they are added, and none is ever taken back."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from campaigns.instants import to_micros
from campaigns.ledger.ledger import Ledger, wait_for_claims


@dataclass(frozen=True, slots=True)
class Suppression:
    """Person and contact hashes that must not be reached any more, and why."""

    keys: tuple[str, ...]
    reason: str


def add_suppressions(ledger: Ledger, ones: Sequence[Suppression], *, now: datetime) -> int:
    """Returns how many brought something new. When it returns, no later claim to them commits."""
    new = 0
    with ledger.writing() as connection:
        wait_for_claims(connection)
        for one in ones:
            new += bar(connection, one.keys, one.reason, at=to_micros(now))
    return new


def bar(connection: Connection, keys: Iterable[str], reason: str, *, at: int) -> bool:
    """Whether any of the keys was not suppressed before; the first reason of each stays."""
    rows = [
        connection.execute(_BAR, {"key": key, "reason": reason, "at": at}).first() for key in keys
    ]
    return any(row is not None for row in rows)


_BAR = text(
    "INSERT INTO suppression (key, reason, recorded_at) VALUES (:key, :reason, :at)"
    " ON CONFLICT DO NOTHING RETURNING seq"
)
