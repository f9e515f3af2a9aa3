"""Marks in the feed's SQLite file: identifications and erasures."""

import sqlite3
from collections.abc import Callable, Iterable

from serving.feed import body, sqlite_recents
from serving.feed.contract import Event, RecentEvent
from serving.feed.marks import (
    Identified,
    MemberMark,
    VisitorMark,
    decode_member,
    decode_visitor,
    disowned,
    encode,
    identified,
    merged,
    of_member,
    with_visitor,
)

SCHEMA = """
CREATE TABLE mark_of (
  subject TEXT PRIMARY KEY,
  mark BLOB NOT NULL  -- see marks.py
) STRICT, WITHOUT ROWID;
CREATE TABLE erased (
  member_id TEXT PRIMARY KEY,
  seq INTEGER NOT NULL  -- of the erasure
) STRICT, WITHOUT ROWID;
"""
MARK = "SELECT mark FROM mark_of WHERE subject = ?"
ERASED = "SELECT member_id, seq FROM erased"
_PUT = (
    "INSERT INTO mark_of (subject, mark) VALUES (?, ?)"
    " ON CONFLICT (subject) DO UPDATE SET mark = excluded.mark"
)


def identify(login: Event, connection: sqlite3.Connection) -> bool:
    """Number an identification and remember it, unless the visitor is that member's."""
    member, visitor = str(login.member_id), str(login.visitor_id)
    history = _visitor(visitor, connection)
    if history and history[-1].member_id == member:
        return False
    latest = Identified(member, login.occurred_at, _number(login, login.occurred_at, connection))
    _put(f"v:{visitor}", identified(history, latest), connection)
    mark, gone = with_visitor(_member(member, connection), visitor)
    _put(f"m:{member}", mark, connection)
    if gone is not None:
        _put(f"v:{gone}", disowned(_visitor(gone, connection), member), connection)
    return True


def erase(erasure: Event, now: int, connection: sqlite3.Connection) -> None:
    """Number an erasure, forget the member's latest events and visitors, and remember that."""
    member = str(erasure.member_id)
    visitors = _member(member, connection).visitors
    for visitor in visitors:
        _put(f"v:{visitor}", disowned(_visitor(visitor, connection), member), connection)
    for subject in (f"m:{member}", *(f"v:{visitor}" for visitor in visitors)):
        sqlite_recents.forget(subject, connection)
    seq = _number(erasure, now, connection)
    _put(f"m:{member}", MemberMark(seq), connection)
    connection.execute(
        "INSERT INTO erased (member_id, seq) VALUES (?, ?)"
        " ON CONFLICT (member_id) DO UPDATE SET seq = excluded.seq",
        (member, seq),
    )


def trim(up_to: int, connection: sqlite3.Connection) -> None:
    """Let go of erasures up to a number."""
    gone = connection.execute("DELETE FROM erased WHERE seq <= ? RETURNING member_id", (up_to,))
    for (member,) in gone.fetchall():
        visitors = _member(member, connection).visitors
        if visitors:
            _put(f"m:{member}", MemberMark(0, visitors), connection)
        else:
            connection.execute("DELETE FROM mark_of WHERE subject = ?", (f"m:{member}",))


def recent(
    subject: str,
    mark: bytes,
    own: list[RecentEvent],
    of_visitor: Callable[[str], tuple[bytes | None, Iterable[tuple[int, RecentEvent]]]],
    *,
    after: int,
    limit: int,
) -> tuple[list[RecentEvent], bool]:
    """A marked member's latest events, its visitors' among them, and whether the member is hidden;
    `own` are its own.

    of_visitor(subject) gives a visitor's mark and its latest events with their numbers.
    """
    member = decode_member(mark)
    theirs = []
    for visitor in member.visitors:
        history, events = of_visitor(f"v:{visitor}")
        if history is not None:
            whose = subject.removeprefix("m:")
            theirs.append(of_member(whose, decode_visitor(history), events, after=after))
    found = merged(own, theirs, limit) if theirs else own
    return found, member.erased > after


def _number(entry: Event, now: int, connection: sqlite3.Connection) -> int:
    seq: int = connection.execute("UPDATE mark SET last = last + 1 RETURNING last").fetchone()[0]
    connection.execute(
        "INSERT INTO event (seq, event_id, accepted_at, body) VALUES (?, ?, ?, ?)",
        (seq, entry.event_id, now, body.encode(entry)),
    )
    return seq


def _member(member_id: str, connection: sqlite3.Connection) -> MemberMark:
    found = connection.execute(MARK, (f"m:{member_id}",)).fetchone()
    return MemberMark() if found is None else decode_member(found[0])


def _visitor(visitor_id: str, connection: sqlite3.Connection) -> VisitorMark:
    found = connection.execute(MARK, (f"v:{visitor_id}",)).fetchone()
    return () if found is None else decode_visitor(found[0])


def _put(subject: str, mark: MemberMark | VisitorMark, connection: sqlite3.Connection) -> None:
    connection.execute(_PUT, (subject, encode(mark)))
