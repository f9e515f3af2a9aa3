"""Makes the ledger's tables, and brings those of an older version up to this one."""

from sqlalchemy import Connection, Table, text, update

from campaigns.ledger.tables import ADDED, FILLED, REMADE, SCHEMA_VERSION, VIEWS, meta, metadata


def create(connection: Connection) -> None:
    """Every table and view, in a store that has none; a strange one by such a name is an error."""
    metadata.create_all(connection, checkfirst=False)
    for view in VIEWS:
        connection.execute(text(view))


def migrate(connection: Connection, version: int) -> None:
    """What the versions after this one brought, in the transaction that opens the ledger."""
    for step in range(version + 1, SCHEMA_VERSION + 1):
        metadata.create_all(connection, tables=ADDED.get(step, []))
        for table in REMADE.get(step, []):
            _remake(connection, table)
    told = update(meta).where(meta.c.name == "schema_version")
    connection.execute(told.values(value=str(SCHEMA_VERSION)))


def _remake(connection: Connection, table: Table) -> None:
    """SQLite changes no constraint of a table that stands."""
    kept = f"{table.name}_before"
    connection.execute(text(f"CREATE TABLE {kept} AS SELECT * FROM {table.name}"))
    columns = [
        name
        for name in list(connection.execute(text(f"SELECT * FROM {kept} LIMIT 0")).keys())
        if table.c[name].computed is None
    ]
    filled = {name: name for name in columns} | FILLED.get(table.name, {})
    connection.execute(text(f"DROP TABLE {table.name}"))
    table.create(connection)
    connection.execute(
        text(
            f"INSERT INTO {table.name} ({', '.join(filled)})"
            f" SELECT {', '.join(filled.values())} FROM {kept}"
        )
    )
    connection.execute(text(f"DROP TABLE {kept}"))
