"""The two databases that a ledger may lie in, set up so that they forget nothing."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError

from recsys.errors import LedgerError

# The last two spare a sender the disk: each push dirties some ten pages anywhere in the file.
_PRAGMAS = (
    "foreign_keys = ON",
    "journal_mode = WAL",
    "synchronous = FULL",
    "cache_size = -65536",
    "wal_autocheckpoint = 16000",
)


def address_of(url: str) -> URL:
    """LedgerError for one that keeps no promise."""
    try:
        address = make_url(url)
    except ArgumentError:
        raise LedgerError(
            f"'{url}' is no database URL; write sqlite:///var/ledger.db or postgresql://…"
        ) from None
    if address.drivername in ("postgresql", "postgres"):
        address = address.set(drivername="postgresql+psycopg")
    backend = address.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise LedgerError(f"The ledger runs on SQLite or PostgreSQL, not on {backend}")
    if backend == "sqlite":
        if address.database in (None, "", ":memory:"):
            raise LedgerError("A ledger in memory keeps no promise; name a file: sqlite:///FILE")
        Path(str(address.database)).parent.mkdir(parents=True, exist_ok=True)
    return address


def engine_at(address: URL) -> Engine:
    """Connections whose transactions hold what the ledger promises."""
    if address.get_backend_name() == "postgresql":
        return _postgres(address)
    engine = create_engine(address, connect_args={"timeout": 30})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        # The driver's own BEGIN is deferred: two claims could then read one state.
        connection.isolation_level = None
        for pragma in _PRAGMAS:
            connection.execute(f"PRAGMA {pragma}").close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("writes", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


_READS = ("enable_seqscan", "enable_hashjoin", "enable_mergejoin")


def _postgres(address: URL) -> Engine:
    """What is looked up here are rows by their keys. PostgreSQL would read whole tables as long as
    its statistics say that they are small, and a sender fills them faster than it counts; a plan
    that it keeps for a prepared statement is of the table as it was."""
    engine = create_engine(address, connect_args={"prepare_threshold": None})

    @event.listens_for(engine, "connect")
    def prepare(connection: Any, _: Any) -> None:
        for name in _READS:
            connection.execute(f"SET {name} = off")
        connection.commit()

    return engine


def read_whole_tables(connection: Connection) -> None:
    """For the rest of a transaction that does."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("; ".join(f"SET LOCAL {name} = on" for name in _READS))


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A transaction that holds SQLite's write lock from its first statement on."""
    with _turn(engine), engine.connect() as plain:
        connection = plain.execution_options(writes=True)
        with connection.begin():
            yield connection


@contextmanager
def _turn(engine: Engine) -> Iterator[None]:
    """Writers of SQLite wake each other by a lock of the system's: left to itself each looks again
    after ever longer sleeps. What keeps them apart is SQLite's own lock."""
    if engine.dialect.name != "sqlite":
        yield
        return
    with Path(f"{engine.url.database}-turn").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


_DURABLE = {
    "sqlite": {
        "PRAGMA foreign_keys": "1",
        "PRAGMA journal_mode": "wal",
        "PRAGMA synchronous": "2",
    },
    "postgresql": {"SHOW fsync": "on", "SHOW synchronous_commit": "on"},
}


def assert_durable(connection: Connection) -> None:
    """A promise on a store that forgets is none."""
    for question, wanted in _DURABLE[connection.dialect.name].items():
        answer = str(connection.exec_driver_sql(question).scalar_one())
        if answer != wanted:
            name = question.split()[1]
            raise LedgerError(f"The ledger needs {name} = {wanted}; this store says {answer}")
