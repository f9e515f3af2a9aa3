"""The feed's SQLite file: ours and no other, durable, and its errors in words."""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from recsys.errors import FeedError
from serving.feed import counts, sqlite_recents
from serving.feed.sqlite_impressions import SCHEMA as _IMPRESSIONS
from serving.feed.sqlite_marks import SCHEMA as _MARKS

SCHEMA_VERSION = 5
APPLICATION_ID = 0x6775_6C66
"""Marks the file as a feed of ours: "gulf" in ASCII."""
BUSY_SECONDS = 5

_SCHEMA = """
CREATE TABLE event (
  seq INTEGER PRIMARY KEY,
  event_id TEXT NOT NULL UNIQUE,
  accepted_at INTEGER NOT NULL,
  subject TEXT,  -- null: nobody's, or trimmed
  body BLOB      -- null: trimmed, only the id is remembered
) STRICT;
CREATE INDEX event_subject ON event (subject) WHERE subject IS NOT NULL;
CREATE TABLE mark (
  shard INTEGER PRIMARY KEY CHECK (shard = 0),
  last INTEGER NOT NULL DEFAULT 0,
  drained INTEGER NOT NULL DEFAULT 0,
  fixed INTEGER CHECK (fixed > drained AND fixed <= last),
  trimmed INTEGER NOT NULL DEFAULT 0 CHECK (trimmed <= drained)
) STRICT;
INSERT INTO mark (shard) VALUES (0);
"""
_NEWS = """
CREATE TABLE news (
  product_id TEXT PRIMARY KEY,
  seq INTEGER NOT NULL UNIQUE,  -- of its latest change
  facts BLOB NOT NULL
) STRICT;
"""
"""what version 2 adds; version 3 adds _MARKS and counts.SCHEMA, version 4 _IMPRESSIONS; version 5
has the latest events in sqlite_recents.SCHEMA instead of an index"""
_SCRIPTS = (_SCHEMA, _NEWS, _MARKS + counts.SCHEMA, _IMPRESSIONS, sqlite_recents.SCHEMA)


def connect(path: Path) -> tuple[sqlite3.Connection, sqlite3.Connection]:
    """A writer for any one thread and a reader for this one. The file is made if need be."""
    with errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        writer = sqlite3.connect(
            path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        with ExitStack() as undo:
            undo.callback(writer.close)
            _prepare(path, writer)
            reader = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            reader.execute("PRAGMA query_only = ON")
            undo.pop_all()
    return writer, reader


def _prepare(path: Path, writer: sqlite3.Connection) -> None:
    """Look before anything is changed, then make the file durable and give it its tables."""
    _ours(path, writer)
    journal = writer.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    writer.execute("PRAGMA synchronous = FULL")
    if (journal, writer.execute("PRAGMA synchronous").fetchone()[0]) != ("wal", 2):
        raise FeedError(f"{path} cannot be written durably there: put the feed on a local disk")
    writer.execute("BEGIN IMMEDIATE")
    try:
        version = _ours(path, writer)
        for script in _SCRIPTS[version:]:
            for statement in script.split(";\n"):
                writer.execute(statement)
        if version < 5:
            sqlite_recents.gather(writer)
        writer.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        writer.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        writer.execute("COMMIT")
    finally:
        if writer.in_transaction:
            writer.execute("ROLLBACK")


def _ours(path: Path, connection: sqlite3.Connection) -> int:
    """The version of the file's tables, 0 for an empty file. Another program's is refused."""
    application = connection.execute("PRAGMA application_id").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if application == APPLICATION_ID and 1 <= version <= SCHEMA_VERSION:
        return version
    if application == APPLICATION_ID:
        raise FeedError(
            f"{path} has feed schema {version}, and this program knows {SCHEMA_VERSION}: "
            "use the version of Guesslike that wrote it, or name another file"
        )
    if application or connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        raise FeedError(f"{path} is another program's SQLite file: name another file for the feed")
    return 0


@contextmanager
def errors(path: Path) -> Iterator[None]:
    """What the file system and SQLite raise becomes a FeedError."""
    try:
        yield
    except sqlite3.Error as error:
        raise said(path, error) from error
    except (FileExistsError, NotADirectoryError, PermissionError) as error:
        raise FeedError(f"the feed {path} cannot be made: {error.strerror}") from error


def said(path: Path, error: sqlite3.Error) -> FeedError:
    """The error in words, with the mend."""
    # The low byte is the class of an extended code: https://sqlite.org/rescode.html
    match getattr(error, "sqlite_errorcode", 0) & 0xFF:
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            mend = "the disk is full or failing; free some room, then send again"
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            mend = f"another program has held it for over {BUSY_SECONDS} s; close that program"
        case sqlite3.SQLITE_NOTADB | sqlite3.SQLITE_CORRUPT:
            mend = "it is damaged or no SQLite file; restore it, or name another file"
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM:
            mend = "make the file and its folder writable for this user"
        case _:
            mend = "see the cause"
    return FeedError(f"the feed {path} fails ({error}): {mend}")
