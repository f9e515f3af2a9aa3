"""Opens the ledger, refuses one that is not ours, and hands out transactions."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from sqlalchemy import Connection, Engine, insert, inspect, select, text
from sqlalchemy.exc import DatabaseError, OperationalError

from campaigns.instants import DAY, SECOND, from_micros, to_micros, words
from campaigns.ledger.identity import NORMALISER, Identity, make_key, read_key
from campaigns.ledger.mark import Mark
from campaigns.ledger.schema import create, migrate
from campaigns.ledger.store import (
    address_of,
    assert_durable,
    engine_at,
    read_whole_tables,
    writing,
)
from campaigns.ledger.tables import SCHEMA_VERSION, gate, meta
from recsys.errors import LedgerError, StaleInstantError
from recsys.ids import stable_hash

_SYSTEM = "system"
_SEND_IDS, _SIDE_BY_SIDE = "send_ids", "side by side"
"""what `meta` says of a ledger since version 4; an older one says nothing"""
_PASSED = "passed"
"""under which a connection keeps the instant that its transaction passed the gate with"""
PAST = "epoch "
"""begins the names under which `meta` keeps the epochs that a restore ended"""


@dataclass(frozen=True, slots=True)
class Ledger:
    """An open ledger; close it, or use it in a with-statement."""

    engine: Engine
    identity: Identity
    epoch: str
    clock: str
    mark: Mark

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """A transaction that sees one state and writes nothing."""
        with self.looking_up() as connection:
            read_whole_tables(connection)
            yield connection

    @contextmanager
    def looking_up(self) -> Iterator[Connection]:
        """Likewise, for some rows by their keys."""
        with _reached(), self.engine.connect() as connection, connection.begin():
            yield connection

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """A transaction that holds SQLite's write lock from its first statement on."""
        with _reached(), writing(self.engine) as connection:
            connection.info.pop(_PASSED, None)
            yield connection
            hi = connection.info.pop(_PASSED, None) if connection.in_transaction() else None
        if hi is not None:
            self.mark.ahead(self.epoch, hi)

    def highest_instant(self) -> datetime:
        """The latest instant this ledger has seen; a clock never starts before it."""
        with self.reading() as connection:
            return from_micros(connection.execute(select(gate.c.hi)).scalar_one())

    def close(self) -> None:
        """Gives back every connection."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and self.mark.in_use:
            keep_mark(self)
        self.close()


@contextmanager
def _reached() -> Iterator[None]:
    """A database that goes away or stays locked is for the operator to mend."""
    try:
        yield
    except OperationalError as error:
        raise LedgerError(
            f"The ledger cannot be used now: {error.orig}. Mend that, then run the same again: "
            "what was promised is kept, and only the remainder is done"
        ) from error


def open_ledger(url: str, key_file: Path, *, clock: str | None, now: datetime) -> Ledger:
    """The ledger at a URL, made at first use together with its key file.

    `clock` names the clock that `now` comes from ("system", or for example "simulated"): a ledger
    belongs to one clock for good; None opens it to be read, whichever it has. LedgerError for a
    store that is unreachable, unsafe or too new, or under another key, normaliser or clock.
    """
    address = address_of(url)
    engine = engine_at(address)
    try:
        with writing(engine) as connection:
            assert_durable(connection)
            if connection.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(7463)"))
            if not inspect(connection).has_table("meta"):
                identity = _create(connection, key_file, clock=clock or _SYSTEM, now=now)
            else:
                identity = _recognise(connection, key_file, clock=clock)
            epoch = connection.execute(select(gate.c.epoch)).scalar_one()
        mark = Mark(key_file.with_suffix(".mark"))
        return Ledger(engine, identity, epoch, clock or _SYSTEM, mark)
    except DatabaseError as error:
        engine.dispose()
        shown = address.render_as_string(hide_password=True)
        raise LedgerError(f"The ledger at {shown} does not open: {error.orig}") from error
    except BaseException:
        engine.dispose()
        raise


def wake(ledger: Ledger, *, now: datetime, max_idle_days: float) -> None:
    """Lets the gate follow a clock that moved on while nobody sent. Called once before sending.

    LedgerError for a clock that went back, or that leapt further than a shop is ever idle: a
    clock set to a wrong year would free every slot at once. Likewise for a ledger that is older
    than its mark: it does not know what was sent since.
    """
    micros = to_micros(now)
    with ledger.writing() as connection:
        hi = lock_gate(connection)
        ledger.mark.check(ledger.epoch, hi, before=past_epochs(connection))
        if micros - hi > max_idle_days * DAY:
            raise LedgerError(
                f"The clock reads {words(micros)}, but the ledger was last used at {words(hi)}. "
                "If the clock is right, raise the setting max_idle_days for this run"
            )
        if micros < hi - 2 * SECOND:
            raise StaleInstantError(
                f"The clock reads {words(micros)}, before {words(hi)}, which the ledger has seen. "
                "Set the clock right, or wait until it has passed that instant"
            )
        connection.execute(text("UPDATE gate SET hi = :now WHERE hi < :now"), {"now": micros})
    keep_mark(ledger)


def keep_mark(ledger: Ledger) -> None:
    """Writes down outside the ledger how far it has come: at the start and the end of a run.

    In between, what passes the gate does so every few seconds.
    """
    with ledger.reading() as connection:
        row = connection.execute(select(gate.c.epoch, gate.c.hi)).one()
    if row.epoch == ledger.epoch:
        ledger.mark.ahead(row.epoch, row.hi, at_once=True)


def past_epochs(connection: Connection) -> frozenset[str]:
    """Those that were ended by a restore."""
    names = connection.execute(select(meta.c.name).where(meta.c.name.startswith(PAST))).scalars()
    return frozenset(name.removeprefix(PAST) for name in names)


def pass_gate(connection: Connection, ledger: Ledger, now: int) -> None:
    """First statement of every claim: right epoch, open gate, a sane clock, one claim at a time."""
    server_agrees = ""
    if ledger.clock == _SYSTEM and connection.dialect.name == "postgresql":
        server_agrees = "AND ABS(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 - :now) <= 2000000"
    passed = connection.execute(
        text(
            "UPDATE gate SET hi = CASE WHEN :now > hi THEN :now ELSE hi END"
            " WHERE id = 1 AND epoch = :epoch AND closed_until <= :now"
            f" AND :now >= hi - 2000000 AND :now <= hi + 86400000000 {server_agrees} RETURNING hi"
        ),
        {"now": now, "epoch": ledger.epoch},
    ).first()
    if passed is None:
        raise _why_shut(connection, ledger, now)
    connection.info[_PASSED] = passed.hi


def wait_for_claims(connection: Connection) -> None:
    """Taken before a withdrawal is written, so that no claim that began earlier commits later."""
    lock_gate(connection)


def _why_shut(connection: Connection, ledger: Ledger, now: int) -> LedgerError:
    row = connection.execute(select(gate.c.epoch, gate.c.hi, gate.c.closed_until)).one()
    if row.epoch != ledger.epoch:
        return LedgerError("The ledger has begun a new epoch; start this sender again")
    if row.closed_until > now:
        return LedgerError(f"The ledger is closed for sending until {words(row.closed_until)}")
    if now < row.hi - 2 * SECOND:
        return StaleInstantError(
            f"The clock went back to {words(now)}; the ledger has seen {words(row.hi)}"
        )
    if now > row.hi + DAY:
        return LedgerError(
            f"The clock leapt from {words(row.hi)} to {words(now)}; start this sender again"
        )
    return LedgerError(
        "This machine's clock and the database's differ by more than 2 s; set them right"
    )


def lock_gate(connection: Connection) -> int:
    """The highest instant that was seen, held fast until the transaction ends."""
    hi: int = connection.execute(select(gate.c.hi).with_for_update()).scalar_one()
    return hi


def _create(connection: Connection, key_file: Path, *, clock: str, now: datetime) -> Identity:
    if not key_file.exists():
        make_key(key_file)
    identity = read_key(key_file)
    try:
        create(connection)
    except DatabaseError as error:
        raise LedgerError(
            f"The ledger's tables cannot be made here: {error.orig}. Name a database, or in "
            "PostgreSQL a schema, that is the ledger's own and in which it may make tables"
        ) from error
    told = {
        "schema_version": str(SCHEMA_VERSION),
        "key_fingerprint": identity.fingerprint,
        "normaliser": str(NORMALISER),
        "clock": clock,
        _SEND_IDS: _SIDE_BY_SIDE,
    }
    connection.execute(insert(meta), [{"name": k, "value": v} for k, v in told.items()])
    born = to_micros(now)
    epoch = f"{stable_hash(f'{identity.fingerprint} {born}'):016x}"
    connection.execute(insert(gate).values(id=1, epoch=epoch, hi=born, closed_until=0))
    return identity


def _recognise(connection: Connection, key_file: Path, *, clock: str | None) -> Identity:
    told = {row.name: row.value for row in connection.execute(select(meta.c.name, meta.c.value))}
    version = int(told["schema_version"])
    if version > SCHEMA_VERSION:
        raise LedgerError(
            f"The ledger has version {version}; this program knows {SCHEMA_VERSION}. Upgrade it"
        )
    if clock not in (None, told["clock"]):
        raise LedgerError(
            f"The ledger was made under the {told['clock']} clock and this one is {clock}; "
            "give the simulated one a folder of its own"
        )
    if not key_file.exists():
        raise LedgerError(
            f"The key file {key_file} is missing; put it back from its backup. Without it, no "
            "suppression and no past push could be recognised"
        )
    identity = read_key(key_file)
    if told["key_fingerprint"] != identity.fingerprint:
        raise LedgerError(f"The ledger is under another key than {key_file}; put its own key there")
    if told["normaliser"] != str(NORMALISER):
        raise LedgerError(
            f"The ledger's addresses were normalised by rule {told['normaliser']}, this program "
            f"uses rule {NORMALISER}; use the program that made it"
        )
    if version < SCHEMA_VERSION:
        migrate(connection, version)
    return replace(identity, side_by_side=told.get(_SEND_IDS) == _SIDE_BY_SIDE)
