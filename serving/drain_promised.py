"""What others promised members, into the dataset: whole tables of theirs, written anew each time.

One file a table. It stays as it is where the same is told again, and where nothing is told at all:
what promised may be elsewhere.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from recsys.dataset import TABLES
from serving import parts
from serving.erasing import Erasures

PROMISED = "ledger.parquet"

Promised = Callable[[], Mapping[str, pl.DataFrame]]
"""rows by table, in the same order each time"""


def drain_promised(tables: Mapping[str, pl.DataFrame], dataset: Path, erasures: Erasures) -> None:
    """Write <table>/ledger.parquet, without erased members."""
    for name, told in tables.items():
        path = dataset / name / PROMISED
        rows = erasures.kept(name, told.select(_columns(name, told)))
        if path.exists() and pl.read_parquet(path).equals(rows):
            continue
        path.parent.mkdir(exist_ok=True)
        parts.flush(dataset)
        parts.write(rows, path)


def _columns(table: str, told: pl.DataFrame) -> list[pl.Expr]:
    schema = TABLES[table].schema
    return [pl.col(name).cast(dtype) for name, dtype in schema.items() if name in told.columns]
