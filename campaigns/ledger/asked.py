"""Many rows in one statement: a bind parameter carries them as JSON, on both databases."""

import json
from collections.abc import Mapping, Sequence
from functools import cache

from sqlalchemy import Connection, TextClause, text

TEXT, NUMBER = "TEXT", "BIGINT"


def asked(connection: Connection, columns: Mapping[str, str], statement: str) -> TextClause:
    """The statement, which may read the table `asked`: these columns, and `nth` from 0 on.

    columns: name → TEXT or NUMBER. Bind `rows` to `packed(...)`.
    """
    return _text(connection.dialect.name, tuple(columns.items()), statement)


def packed(rows: Sequence[Sequence[object]]) -> str:
    """Rows for `asked`, each with its columns in order."""
    return json.dumps(rows, separators=(",", ":"))


def insert_rows(
    connection: Connection,
    table: str,
    columns: Mapping[str, str],
    rows: Sequence[Sequence[object]],
) -> None:
    """Adds rows, their cells in the columns' order, by the way that is quickest on each database:
    SQLite takes half the time for one after the other, PostgreSQL a fifth for all at once."""
    names = ", ".join(columns)
    if connection.dialect.name == "sqlite":
        marks = ", ".join("?" * len(columns))
        connection.exec_driver_sql(
            f"INSERT INTO {table} ({names}) VALUES ({marks})", [tuple(row) for row in rows]
        )
        return
    statement = f"INSERT INTO {table} ({names}) SELECT {names} FROM asked"
    connection.execute(asked(connection, columns, statement), {"rows": packed(rows)})


@cache
def _text(dialect: str, columns: tuple[tuple[str, str], ...], statement: str) -> TextClause:
    if dialect == "sqlite":
        read = "json_extract(value, '$[{}]')"
        source = "SELECT key AS nth, {} FROM json_each(:rows)"
    else:
        read = "value->>{}"
        source = (
            "SELECT place - 1 AS nth, {} FROM json_array_elements(CAST(:rows AS json))"
            " WITH ORDINALITY AS one(value, place)"
        )
    cells = (
        f"CAST({read.format(at)} AS {kind}) AS {name}" for at, (name, kind) in enumerate(columns)
    )
    # Materialised: SQLite would read the JSON again at each mention.
    return text(f"WITH asked AS MATERIALIZED ({source.format(', '.join(cells))}) {statement}")
