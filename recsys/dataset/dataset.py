"""A dataset's folder: which tables it has, and their rows lazily or checked."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from recsys.dataset.checks import DEFAULT_MAX_REJECTS, Part, check, conform
from recsys.dataset.known import known
from recsys.dataset.tables import TABLES, Table
from recsys.errors import DataError

ORIGIN = "dataset.json"
"""How an import made the dataset; a folder of one's own Parquet files goes without."""
_FEED_PART = re.compile(r"feed-(\d+)-(\d+)-(\d+)\.parquet")


@dataclass(frozen=True, slots=True)
class Dataset:
    """A folder of tables: T.parquet, or a folder T/ of parts, or both. Only events must exist."""

    path: Path
    max_rejects: float = DEFAULT_MAX_REJECTS
    rejected: dict[str, int] = field(default_factory=dict)
    """bad rows left out, by the tables that were read"""

    def has(self, table: str) -> bool:
        """Whether a file of the table exists."""
        return bool(self.files(table))

    def files(self, table: str) -> list[Path]:
        """The table's files, in one order for ever: the single file, then its parts by name."""
        name = TABLES[table].name
        single = self.path / f"{name}.parquet"
        # A dot marks what somebody is still writing.
        parts = (p for p in (self.path / name).glob("*.parquet") if not p.name.startswith("."))
        return [*([single] if single.is_file() else []), *sorted(parts)]

    def scan(self, table: str) -> pl.LazyFrame:
        """The table unchecked: declared columns in their types, missing ones null, nothing read.

        Columns beyond the declared ones come along for members and products. A table that is
        absent has no rows; only for events that is a DataError.
        """
        declared = TABLES[table]
        frames = [self._scan_part(declared, part) for part in self._parts(declared)]
        if not frames:
            return declared.schema.to_frame().lazy()
        return pl.concat(frames, how="diagonal_relaxed")

    def read(self, table: str) -> pl.DataFrame:
        """The table's good rows; the number of bad ones goes to `rejected`.

        Raises DataError if more than the share `max_rejects` is bad, or if it is events and no
        row is left.
        """
        declared = TABLES[table]
        parts = self._parts(declared)
        if not parts:
            return declared.schema.to_frame()
        checked = check(declared, parts, timezone=self._naive_zone(), max_rejects=self.max_rejects)
        self.rejected[table] = checked.rejects.height
        if table == "events" and checked.good.is_empty():
            raise DataError(f"{self.path}: the events table has no rows. Import the shop's events.")
        return checked.good.select(_complete(declared, checked.good.schema))

    def known(self, table: str, as_of: datetime | None, *, undated: bool = False) -> pl.DataFrame:
        """Products or members as known before an instant, one row an id; None is the present.

        `undated`: trust all columns of rows without `valid_from`, as is right in the present.
        """
        return known(
            self.read(table),
            key=TABLES[table].unique[0],
            static=self.static(table),
            as_of=as_of,
            undated=undated,
        )

    def static(self, table: str) -> frozenset[str]:
        """The columns that a row without `valid_from` serves at any instant."""
        return TABLES[table].static | frozenset(self.origin().get("static", {}).get(table, ()))

    def feed_sequences(self, table: str = "events") -> dict[int, int]:
        """The last drained sequence number of each shard, from the names of the parts."""
        last: dict[int, int] = {}
        for path in self.files(table):
            if named := _FEED_PART.fullmatch(path.name):
                shard, _, to = (int(number) for number in named.groups())
                last[shard] = max(to, last.get(shard, to))
        return last

    def scan_file(self, table: str, path: Path) -> pl.LazyFrame:
        """One file of the table, as `scan` gives all of them: row for row as they stand there."""
        part = Part(path.relative_to(self.path).as_posix(), pl.scan_parquet(path))
        return self._scan_part(TABLES[table], part)

    def parts(self) -> list[tuple[str, int]]:
        """Each file of each table: its path from the dataset's folder, and its bytes."""
        return [
            (path.relative_to(self.path).as_posix(), path.stat().st_size)
            for table in sorted(TABLES)
            for path in self.files(table)
        ]

    def origin(self) -> Mapping[str, Any]:
        """What the import wrote about itself; empty for a folder of one's own."""
        try:
            return dict(json.loads((self.path / ORIGIN).read_text(encoding="utf-8")))
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise DataError(
                f"{self.path / ORIGIN} is damaged ({error}). Import the dataset again."
            ) from error

    def _naive_zone(self) -> str | None:
        # An import writes UTC, so a time without a zone beside its files can only be that.
        return "UTC" if self.origin() else None

    def _parts(self, table: Table) -> list[Part]:
        files = self.files(table.name)
        if not files and table.name == "events":
            raise DataError(
                f"{self.path}: no events.parquet and no parts in events/. Name the folder of a "
                "dataset, or make one with `guesslike import`."
            )
        return [
            Part(path.relative_to(self.path).as_posix(), pl.scan_parquet(path)) for path in files
        ]

    def _scan_part(self, table: Table, part: Part) -> pl.LazyFrame:
        frame = conform(table, part, timezone=self._naive_zone())
        return frame.select(_complete(table, frame.collect_schema()))


def _complete(table: Table, schema: pl.Schema) -> list[pl.Expr]:
    """All declared columns in their order, null where absent, then the extras it keeps."""
    declared = [
        pl.col(column.name)
        if column.name in schema
        else pl.lit(None, column.dtype).alias(column.name)
        for column in table.columns
    ]
    extras = [name for name in schema if name not in table.names] if table.extras else []
    return [*declared, *map(pl.col, extras)]
