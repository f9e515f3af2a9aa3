"""The rate of a channel, shared by all senders: when its next call may begin (GCRA, I.371)."""

from datetime import datetime

from sqlalchemy import text

from campaigns.instants import SECOND, from_micros, to_micros
from campaigns.ledger.ledger import Ledger


def take_turns(
    ledger: Ledger, channel: str, calls: int, *, a_second: float, now: datetime, latest: datetime
) -> tuple[bool, datetime]:
    """Reserves so many calls in a row, if the first of them may begin by `latest`.

    Whether it did, and when the first may begin.
    """
    with ledger.writing() as connection:
        connection.execute(_OPEN, {"channel": channel})
        before = connection.execute(_NEXT, {"channel": channel}).scalar_one()
        begins = max(before, to_micros(now))
        if begins > to_micros(latest):
            return False, from_micros(begins)
        taken = round(calls * SECOND / a_second)
        connection.execute(_SET, {"channel": channel, "next_at": begins + taken})
    return True, from_micros(begins)


def hold(ledger: Ledger, channel: str, *, until: datetime) -> None:
    """No call of the channel before then, for the provider asked for it."""
    with ledger.writing() as connection:
        connection.execute(_OPEN, {"channel": channel})
        connection.execute(_HOLD, {"channel": channel, "until": to_micros(until)})


def held_until(ledger: Ledger, channel: str) -> datetime:
    """When the next call may begin; long ago where nothing holds it."""
    with ledger.reading() as connection:
        found = connection.execute(
            text("SELECT next_at FROM rate WHERE channel = :channel"), {"channel": channel}
        ).scalar()
    return from_micros(found or 0)


_OPEN = text("INSERT INTO rate (channel, next_at) VALUES (:channel, 0) ON CONFLICT DO NOTHING")
# The write locks the row in PostgreSQL, where two senders may ask at once.
_NEXT = text("UPDATE rate SET next_at = next_at WHERE channel = :channel RETURNING next_at")
_SET = text("UPDATE rate SET next_at = :next_at WHERE channel = :channel")
_HOLD = text("UPDATE rate SET next_at = :until WHERE channel = :channel AND next_at < :until")
