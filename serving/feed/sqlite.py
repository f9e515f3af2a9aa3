"""The feed in one SQLite file, which several processes may share.

Awaiting appends share a transaction, so that one flush to disk serves them all: while a
group commits in the writer's thread, the next one gathers. Reads have their own connection
and run on the event loop: in WAL mode they wait for nobody.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from recsys.errors import FeedError
from serving.feed import body, counts, news, sqlite_impressions, sqlite_marks, sqlite_recents
from serving.feed.contract import (
    KEPT_RECENT,
    REMEMBERED_US,
    Appended,
    Event,
    Range,
    Recent,
    subject,
)
from serving.feed.impressions import Impression, Notice, decode, decode_shown
from serving.feed.marks import erasure, identification
from serving.feed.news import ProductChange, ProductNews
from serving.feed.sqlite_file import connect, errors, said

WAITING_APPENDS = 256
"""More than these wait their turn, so a slow disk slows the senders and not the memory."""
TRIM_ROWS = 5_000
"""Rows in one step of a trim: about 50 ms, so that appends get in between."""

_APPEND = (
    "INSERT INTO event (seq, event_id, accepted_at, body) VALUES (?, ?, ?, ?)"
    " ON CONFLICT (event_id) DO NOTHING"
)

_Job = Callable[[sqlite3.Connection], Any]
T = TypeVar("T")


class SqliteFeed:
    """The file, held open. Its one shard is 0."""

    shards = 1
    warnings: tuple[str, ...] = ()

    def __init__(self, path: Path, *, writer: sqlite3.Connection, reader: sqlite3.Connection):
        self._path = path
        self._writer = writer
        self._reader = reader
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="feed-writer")
        self._room = asyncio.Semaphore(WAITING_APPENDS)
        self._turn = asyncio.Lock()
        self._gathering: tuple[list[_Job], asyncio.Task[list[Any]]] | None = None

    async def append(self, events: Sequence[Event], *, now: int) -> Appended:
        """See Feed."""
        rows = [(event.event_id, now, body.encode(event)) for event in events]
        return await self._write(partial(_insert, events, rows))

    async def recent(
        self, subject: str, *, after: Mapping[int, int], limit: int, shown: bool = False
    ) -> Recent:
        """See Feed."""
        if (limit := min(limit, KEPT_RECENT)) < 1:
            return Recent([])
        beyond = after.get(0, 0)
        ((latest, mark, seen),) = self._read(sqlite_recents.READ, (subject,))
        numbered = sqlite_recents.decode(latest) if latest else []
        own = [event for number, event in numbered if number > beyond][-limit:]
        counted = decode_shown(seen) if shown and seen else {}
        if mark is None or not subject.startswith("m:"):
            return Recent(own, shown=counted)
        found, hidden = sqlite_marks.recent(
            subject, mark, own, self._visitor, after=beyond, limit=limit
        )
        return Recent(found, hidden, counted)

    def _visitor(self, subject: str) -> tuple[bytes | None, list[sqlite_recents.Numbered]]:
        ((latest, mark, _),) = self._read(sqlite_recents.READ, (subject,))
        return mark, sqlite_recents.decode(latest) if latest else []

    async def last_sequences(self) -> dict[int, int]:
        """See Feed."""
        return dict(self._read("SELECT shard, last FROM mark", ()))

    async def read(self, shard: int, start: int, stop: int) -> list[tuple[int, Event]]:
        """See Feed."""
        _only(shard)
        rows = self._read(
            "SELECT seq, body FROM event WHERE seq BETWEEN ? AND ? AND body IS NOT NULL"
            " ORDER BY seq",
            (start, stop),
        )
        return [(seq, body.decode(packed)) for seq, packed in rows]

    async def fix_range(self, shard: int, *, limit: int) -> Range | None:
        """See Feed."""
        _only(shard)
        return await self._write(partial(_fix, limit))

    async def confirm(self, fixed: Range) -> None:
        """See Feed."""
        _only(fixed.shard)
        if not await self._write(partial(_confirm, fixed)):
            raise ValueError(f"{fixed} was not fixed")

    async def trim(self, shard: int, up_to: int, *, now: int) -> None:
        """See Feed."""
        _only(shard)
        drained, trimmed = self._read("SELECT drained, trimmed FROM mark", ())[0]
        if up_to > drained:
            raise FeedError(f"the feed is drained up to event {drained}, not {up_to}: drain first")
        while trimmed < up_to:
            trimmed = await self._write(partial(_trim, up_to))
        await self._write(partial(sqlite_marks.trim, up_to))
        while await self._write(partial(_forget, now - REMEMBERED_US)) == TRIM_ROWS:
            pass
        step: str | None = ""
        while step is not None:
            step = await self._write(
                partial(sqlite_impressions.forget_idle, now // 60_000_000, step)
            )

    async def tell(self, changes: Sequence[ProductChange]) -> None:
        """See Feed."""
        await self._write(partial(_tell, changes))

    async def told(self, *, after: int) -> tuple[int, list[ProductNews]]:
        """See Feed."""
        rows = self._read(
            "SELECT seq, product_id, facts FROM news WHERE seq > ? ORDER BY seq", (after,)
        )
        return rows[-1][0] if rows else after, [news.read(one, facts) for _, one, facts in rows]

    async def identify(self, visitor_id: str, member_id: str, *, event_id: str, now: int) -> bool:
        """See Feed."""
        login = identification(visitor_id, member_id, event_id=event_id, at=now)
        return await self._write(partial(sqlite_marks.identify, login))

    async def erase(self, member_id: str, *, event_id: str, until: int, now: int) -> None:
        """See Feed."""
        entry = erasure(member_id, event_id=event_id, until=until)
        await self._write(partial(sqlite_marks.erase, entry, now))
        await self._write(partial(sqlite_impressions.erase, member_id))

    async def erased(self) -> dict[str, tuple[int, int]]:
        """See Feed."""
        return {member: (0, seq) for member, seq in self._read(sqlite_marks.ERASED, ())}

    async def exchange(self, batch: bytes | None, *, after: int | None) -> tuple[int, list[bytes]]:
        """See Feed."""
        if batch is not None:
            return await self._write(partial(counts.exchange, batch, after))
        with errors(self._path):
            return counts.exchange(None, after, self._reader)

    async def show(self, impressions: Sequence[Impression], notices: Sequence[Notice]) -> None:
        """See Feed."""
        await self._write(partial(sqlite_impressions.show, impressions, notices))

    async def last_impressions(self) -> dict[int, int]:
        """See Feed."""
        return {0: self._read(sqlite_impressions.LAST, ())[0][0]}

    async def read_impressions(
        self, shard: int, *, after: int, limit: int
    ) -> list[tuple[int, list[Impression]]]:
        """See Feed."""
        _only(shard)
        found = self._read(sqlite_impressions.READ, (after, limit))
        return [(number, decode(batch)) for number, batch in found]

    async def forget_impressions(self, shard: int, up_to: int) -> None:
        """See Feed."""
        _only(shard)
        await self._write(partial(sqlite_impressions.forget, up_to))

    async def close(self) -> None:
        """See Feed."""
        if self._gathering is not None:
            await asyncio.wait([self._gathering[1]])
        async with self._turn:
            self._thread.shutdown()
            self._reader.close()
            self._writer.close()

    def _read(self, statement: str, values: tuple[object, ...]) -> list[Any]:
        try:
            return self._reader.execute(statement, values).fetchall()
        except sqlite3.Error as error:
            raise said(self._path, error) from error

    async def _write(self, job: Callable[[sqlite3.Connection], T]) -> T:
        async with self._room:
            if self._gathering is None:
                jobs: list[_Job] = []
                self._gathering = (jobs, asyncio.create_task(self._commit(jobs)))
            jobs, committed = self._gathering
            place = len(jobs)
            jobs.append(job)
            # One sender that goes away must not cancel the others' commit.
            result: T = (await asyncio.shield(committed))[place]
            return result

    async def _commit(self, jobs: list[_Job]) -> list[Any]:
        async with self._turn:
            self._gathering = None
            loop = asyncio.get_running_loop()
            with errors(self._path):
                return await loop.run_in_executor(self._thread, _transact, self._writer, jobs)


def open_sqlite(path: Path) -> SqliteFeed:
    """The feed in a file, made where there is none. Call it inside a running event loop."""
    writer, reader = connect(path)
    return SqliteFeed(path, writer=writer, reader=reader)


def _transact(connection: sqlite3.Connection, jobs: list[_Job]) -> list[Any]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        results = [job(connection) for job in jobs]
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
    return results


def _insert(
    events: Sequence[Event],
    rows: list[tuple[str, int, bytes]],
    connection: sqlite3.Connection,
) -> Appended:
    (before,) = connection.execute("SELECT last FROM mark").fetchone()
    new: list[tuple[int, Event]] = []
    for event, row in zip(events, rows, strict=True):
        number = before + len(new) + 1
        if connection.execute(_APPEND, (number, *row)).rowcount:
            new.append((number, event))
    sqlite_recents.add(new, connection)
    connection.execute("UPDATE mark SET last = ?", (before + len(new),))
    return Appended(new=len(new), duplicates=len(rows) - len(new))


def _fix(limit: int, connection: sqlite3.Connection) -> Range | None:
    connection.execute(
        "UPDATE mark SET fixed = min(last, drained + ?) WHERE fixed IS NULL AND drained < last",
        (limit,),
    )
    drained, fixed = connection.execute("SELECT drained, fixed FROM mark").fetchone()
    return None if fixed is None else Range(0, drained + 1, fixed)


def _confirm(fixed: Range, connection: sqlite3.Connection) -> bool:
    connection.execute(
        "UPDATE mark SET drained = fixed, fixed = NULL WHERE drained = ? AND fixed = ?",
        (fixed.start - 1, fixed.stop),
    )
    (drained,) = connection.execute("SELECT drained FROM mark").fetchone()
    return bool(drained >= fixed.stop)


def _trim(up_to: int, connection: sqlite3.Connection) -> int:
    """One step; returns how far the feed is trimmed now."""
    (trimmed,) = connection.execute("SELECT trimmed FROM mark").fetchone()
    stop: int = max(trimmed, min(up_to, trimmed + TRIM_ROWS))
    span = (trimmed + 1, stop)
    bodies = connection.execute(
        "SELECT body FROM event WHERE seq BETWEEN ? AND ? AND body IS NOT NULL", span
    )
    subjects = {subject(body.decode(packed)) for (packed,) in bodies} - {None}
    sqlite_recents.trim(stop, filter(None, subjects), connection)
    connection.execute("UPDATE event SET body = NULL WHERE seq BETWEEN ? AND ?", span)
    connection.execute("UPDATE mark SET trimmed = ?", (stop,))
    return stop


def _forget(before: int, connection: sqlite3.Connection) -> int:
    """One step from the oldest trimmed id on; returns how many ids are forgotten."""
    return connection.execute(
        "DELETE FROM event WHERE accepted_at < ? AND seq IN (SELECT seq FROM event"
        " WHERE seq <= (SELECT trimmed FROM mark) ORDER BY seq LIMIT ?)",
        (before, TRIM_ROWS),
    ).rowcount


def _tell(changes: Sequence[ProductChange], connection: sqlite3.Connection) -> None:
    (last,) = connection.execute("SELECT coalesce(max(seq), 0) FROM news").fetchone()
    for number, change in enumerate(changes, last + 1):
        known = connection.execute(
            "SELECT facts FROM news WHERE product_id = ?", (change.product_id,)
        ).fetchone()
        facts = news.changed(known and known[0], change.facts)
        connection.execute(
            "INSERT INTO news (product_id, seq, facts) VALUES (?, ?, ?)"
            " ON CONFLICT (product_id) DO UPDATE SET seq = excluded.seq, facts = excluded.facts",
            (change.product_id, number, facts),
        )


def _only(shard: int) -> None:
    if shard != 0:
        raise ValueError(f"an SQLite feed has shard 0 alone, not {shard}")
