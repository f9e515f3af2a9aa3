"""The latest events of each subject in the feed's SQLite file, gathered into one row: a request
reads one row, however long the log is and however widely the subject's events are spread in it."""

import sqlite3
from collections.abc import Iterable, Sequence
from itertools import groupby
from operator import itemgetter

import msgspec

from serving.feed import body
from serving.feed.contract import ERASE, IDENTIFY, KEPT_RECENT, Event, RecentEvent, subject

SCHEMA = """
CREATE TABLE recent (
  subject TEXT PRIMARY KEY,
  latest BLOB NOT NULL  -- MessagePack: [number, what ranking needs of the event] of each, in order
) STRICT;
"""
READ = (
    "SELECT (SELECT latest FROM recent WHERE subject = ?1),"
    " (SELECT mark FROM mark_of WHERE subject = ?1),"
    " (SELECT body FROM shown WHERE subject = ?1)"
)
"""all that one request needs of a subject"""

Numbered = tuple[int, RecentEvent]

decode = msgspec.msgpack.Decoder(list[Numbered]).decode
_encode = msgspec.msgpack.Encoder().encode
_elements = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_number = msgspec.msgpack.Decoder(tuple[int, msgspec.Raw]).decode


def add(events: Iterable[tuple[int, Event]], connection: sqlite3.Connection) -> None:
    """Numbered events become their subjects' latest."""
    new: dict[str, list[msgspec.Raw]] = {}
    for number, event in events:
        if (whose := subject(event)) is not None:
            element = msgspec.Raw(_encode((number, body.head(event))))
            new.setdefault(whose, []).append(element)
    for whose, elements in new.items():
        _put(whose, [*_kept(whose, connection), *elements][-KEPT_RECENT:], connection)


def trim(up_to: int, subjects: Iterable[str], connection: sqlite3.Connection) -> None:
    """Let go of these subjects' events up to a number."""
    for whose in subjects:
        kept = [one for one in _kept(whose, connection) if _number(one)[0] > up_to]
        if kept:
            _put(whose, kept, connection)
        else:
            forget(whose, connection)


def forget(whose: str, connection: sqlite3.Connection) -> None:
    """Let go of all."""
    connection.execute("DELETE FROM recent WHERE subject = ?", (whose,))


def gather(connection: sqlite3.Connection) -> None:
    """Fill the table of a file that has none yet from the log, which finds no subjects any more."""
    log = connection.execute(
        "SELECT subject, seq, body FROM event WHERE subject IS NOT NULL AND body IS NOT NULL"
        " ORDER BY subject, seq"
    )
    for whose, rows in groupby(log, key=itemgetter(0)):
        if whose not in (IDENTIFY, ERASE):
            latest = [(seq, body.decode_recent(packed)) for _, seq, packed in rows]
            _put(whose, latest[-KEPT_RECENT:], connection)
    connection.execute("DROP INDEX event_subject")
    connection.execute("ALTER TABLE event DROP COLUMN subject")


def _kept(whose: str, connection: sqlite3.Connection) -> list[msgspec.Raw]:
    found = connection.execute("SELECT latest FROM recent WHERE subject = ?", (whose,)).fetchone()
    return [] if found is None else _elements(found[0])


def _put(
    whose: str, latest: Sequence[msgspec.Raw | Numbered], connection: sqlite3.Connection
) -> None:
    connection.execute(
        "INSERT INTO recent (subject, latest) VALUES (?, ?)"
        " ON CONFLICT (subject) DO UPDATE SET latest = excluded.latest",
        (whose, _encode(latest)),
    )
