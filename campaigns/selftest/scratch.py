"""A place beside the user's own ledger, in the same database, which is gone afterwards."""

import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import URL, Engine, create_engine, text
from sqlalchemy.exc import DatabaseError

from campaigns.ledger.store import address_of
from recsys.errors import LedgerError

_NAME = "guesslike_selftest_"


@contextmanager
def scratch(ledger_url: str | None, folder: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the URL of a ledger that nothing else uses. LedgerError if none can be made.

    ledger_url: of the user's own ledger; without one it is a file in the folder.
    """
    name = _NAME + secrets.token_hex(6)
    place = folder / name
    address = None if ledger_url is None else address_of(ledger_url)
    place.mkdir(parents=True, mode=0o700)
    try:
        if address is None or address.get_backend_name() == "sqlite":
            yield place, f"sqlite:///{place / 'ledger.db'}"
        else:
            with _schema(address, name) as url:
                yield place, url
    finally:
        shutil.rmtree(place, ignore_errors=True)


@contextmanager
def _schema(address: URL, name: str) -> Iterator[str]:
    engine = create_engine(address)
    try:
        try:
            _run(engine, f"CREATE SCHEMA {name}")
        except DatabaseError as error:
            shown = address.render_as_string(hide_password=True)
            raise LedgerError(
                f"A scratch schema cannot be made in {shown}: {error.orig}. Give the role the "
                "right to CREATE in this database, or name another one in ledger_url"
            ) from error
        options = " ".join([str(address.query.get("options", "")), f"-csearch_path={name}"]).strip()
        own = address.update_query_dict({"options": options})
        try:
            yield own.render_as_string(hide_password=False)
        finally:
            _run(engine, f"DROP SCHEMA {name} CASCADE")
    finally:
        engine.dispose()


def _run(engine: Engine, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(statement))
