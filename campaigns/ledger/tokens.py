"""Caps of single channels: a key has so many tokens, and each push takes one for a span of time."""

from collections.abc import Mapping, Sequence
from itertools import count

from sqlalchemy import Connection

from campaigns.ledger.asked import NUMBER, TEXT, asked, packed


def held_tokens(
    connection: Connection, keys: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], dict[int, int]]:
    """(key, channel) → place → when it is free, for tokens that were ever taken."""
    found: dict[tuple[str, str], dict[int, int]] = {}
    rows = connection.execute(
        asked(connection, {"key": TEXT, "channel": TEXT}, _HELD), {"rows": packed(keys)}
    )
    for row in rows:
        found.setdefault((row.key, row.channel), {})[row.place] = row.free_at
    return found


def free_place(places: Mapping[int, int], most: int, *, at: int) -> tuple[int | None, int]:
    """A place that is free at an instant; or None, and when one will be."""
    taken = sorted(free_at for free_at in places.values() if free_at > at)
    if len(taken) >= most:
        return None, taken[len(taken) - most]
    return next(place for place in count(1) if places.get(place, 0) <= at), at


def take_tokens(connection: Connection, taken: Sequence[tuple[str, str, int, str, int]]) -> None:
    """(key, channel, place, send id, free at) of each; claims follow one another."""
    if taken:
        connection.execute(
            asked(
                connection,
                {"key": TEXT, "channel": TEXT, "place": NUMBER, "send_id": TEXT, "free_at": NUMBER},
                _TAKE,
            ),
            {"rows": packed(taken)},
        )


def free_tokens(connection: Connection, send_ids: Sequence[str]) -> None:
    """Back, for nothing was delivered."""
    rows = packed([[key] for key in send_ids])
    connection.execute(asked(connection, {"send_id": TEXT}, _FREE), {"rows": rows})


_HELD = """
SELECT t.key, t.channel, t.place, t.free_at FROM token t
JOIN asked ON t.key = asked.key AND t.channel = asked.channel
"""
_TAKE = """
INSERT INTO token (key, channel, place, send_id, free_at)
SELECT key, channel, place, send_id, free_at FROM asked WHERE true
ON CONFLICT (key, channel, place) DO UPDATE SET send_id = excluded.send_id,
  free_at = excluded.free_at
"""
_FREE = "UPDATE token SET free_at = 0 WHERE send_id IN (SELECT send_id FROM asked)"
