"""Impressions in the feed's SQLite file."""

import sqlite3
from collections.abc import Sequence

from serving.feed.impressions import (
    KEPT_BATCHES,
    KEPT_DAYS,
    Impression,
    Notice,
    by_subject,
    decode_shown,
    encode,
    noticed,
)

SCHEMA = """
CREATE TABLE impressions (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  body BLOB NOT NULL  -- a batch
) STRICT;
CREATE TABLE shown (
  subject TEXT PRIMARY KEY,
  minute INTEGER NOT NULL,  -- of the latest notice
  body BLOB NOT NULL
) STRICT, WITHOUT ROWID;
"""
SHOWN = "SELECT body FROM shown WHERE subject = ?"
_ERASED = "SELECT 1 FROM erased WHERE member_id = ?"
LAST = "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'impressions'"
READ = "SELECT number, body FROM impressions WHERE number > ? ORDER BY number LIMIT ?"

FORGET_ROWS = 5_000
"""Rows of `shown` that one step looks at, so that appends get in between."""


def show(
    impressions: Sequence[Impression], notices: Sequence[Notice], connection: sqlite3.Connection
) -> None:
    """Keep a batch, and count the notices but those of erased members, which may come late."""
    if impressions:
        connection.execute("INSERT INTO impressions (body) VALUES (?)", (encode(impressions),))
        (last,) = connection.execute(LAST).fetchone()
        connection.execute("DELETE FROM impressions WHERE number <= ?", (last - KEPT_BATCHES,))
    for subject, of_subject in by_subject(notices).items():
        if subject.startswith("m:") and connection.execute(_ERASED, (subject[2:],)).fetchone():
            continue
        found = connection.execute(SHOWN, (subject,)).fetchone()
        shown = {} if found is None else decode_shown(found[0])
        noticed(shown, of_subject)
        if shown:
            connection.execute(
                "INSERT INTO shown (subject, minute, body) VALUES (?, ?, ?) ON CONFLICT (subject)"
                " DO UPDATE SET minute = excluded.minute, body = excluded.body",
                (subject, of_subject[-1].minute, encode(shown)),
            )
        elif found is not None:
            connection.execute("DELETE FROM shown WHERE subject = ?", (subject,))


def forget(up_to: int, connection: sqlite3.Connection) -> None:
    """The batches up to this one are in the dataset."""
    connection.execute("DELETE FROM impressions WHERE number <= ?", (up_to,))


def erase(member_id: str, connection: sqlite3.Connection) -> None:
    """Forget what a member was shown."""
    connection.execute("DELETE FROM shown WHERE subject = ?", (f"m:{member_id}",))


def forget_idle(now: int, beyond: str, connection: sqlite3.Connection) -> str | None:
    """One step through the subjects: those not shown anything for long go. Returns where the next
    step begins; None at the end. `now` in minutes."""
    last: str | None
    (last,) = connection.execute(
        "SELECT max(subject) FROM"
        " (SELECT subject FROM shown WHERE subject > ? ORDER BY subject LIMIT ?)",
        (beyond, FORGET_ROWS),
    ).fetchone()
    connection.execute(
        "DELETE FROM shown WHERE subject > ? AND subject <= ? AND minute < ?",
        (beyond, last, now - KEPT_DAYS * 1_440),
    )
    return last
