"""Makes the ledger's tables, and brings those of an older version up to this one."""

from sqlalchemy import Connection, text, update

from campaigns.ledger.tables import ADDED, SCHEMA_VERSION, VIEWS, meta, metadata


def create(connection: Connection) -> None:
    """Every table and view, in a store that has none."""
    metadata.create_all(connection)
    for view in VIEWS:
        connection.execute(text(view))


def migrate(connection: Connection, version: int) -> None:
    """What the versions after this one brought, in the transaction that opens the ledger."""
    for step in range(version + 1, SCHEMA_VERSION + 1):
        metadata.create_all(connection, tables=ADDED[step])
    told = update(meta).where(meta.c.name == "schema_version")
    connection.execute(told.values(value=str(SCHEMA_VERSION)))
