"""The rows of an import, cell by cell, with a reason for each that is left out."""

import zoneinfo
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import TypeVar

from campaigns.csv_file import rows_of
from campaigns.ledger.identity import CHANNELS, Identity, normalise

BATCH = 5_000

T = TypeVar("T")
Cells = Mapping[str, str]
"""every column that the file may have; empty where it says nothing"""


@dataclass(frozen=True, slots=True)
class Reject:
    """One row that was left out. It carries no address."""

    row: int
    column: str
    rule: str


@dataclass(frozen=True, slots=True)
class Imported:
    """How an import went."""

    new: int
    known: int
    rejects: tuple[Reject, ...]


class BadCellError(Exception):
    """Why one row is left out; never with what stands in it."""

    def __init__(self, column: str, rule: str) -> None:
        super().__init__(rule)
        self.column, self.rule = column, rule


@dataclass(frozen=True, slots=True)
class Columns:
    """What a file of this kind needs and may have."""

    what: str
    required: Sequence[str]
    optional: Sequence[str] = ()


def read(
    path: Path, columns: Columns, made: Callable[[Cells], T]
) -> Iterator[tuple[int, T | Reject]]:
    """Each row with its line, as what `made` makes of it. DataError for a file of another kind."""
    names = (*columns.required, *columns.optional)
    rows = rows_of(path, columns.what, required=columns.required, optional=columns.optional)
    for number, row in rows:
        try:
            yield number, made({name: (row.get(name) or "").strip(" ") for name in names})
        except BadCellError as bad:
            yield number, Reject(number, bad.column, bad.rule)


def named(cells: Cells, column: str) -> str:
    """A cell that must say something."""
    value = cells[column].strip()
    if not value:
        raise BadCellError(column, "empty")
    return value


def contact(cells: Cells, identity: Identity) -> tuple[str, str]:
    """The channel, and the hash of the contact point on it."""
    channel = named(cells, "channel")
    if channel not in CHANNELS:
        raise BadCellError("channel", f"unknown; known: {', '.join(CHANNELS)}")
    try:
        normalise(channel, cells["address"])
    except ValueError as error:
        raise BadCellError("address", str(error)) from None
    return channel, identity.contact(channel, cells["address"])


def instant(cells: Cells, column: str, *, now: datetime) -> datetime:
    """An instant with a zone, not after now."""
    try:
        at = datetime.fromisoformat(named(cells, column))
    except ValueError:
        raise BadCellError(column, "not an instant such as 2017-12-01T09:00:00Z") from None
    if at.tzinfo is None:
        raise BadCellError(column, "has no time zone; write 2017-12-01T09:00:00Z")
    if at > now:
        raise BadCellError(column, "lies in the future")
    return at


def zone(cells: Cells, column: str) -> str | None:
    """An IANA zone, or none."""
    value = cells[column].strip() or None
    if value is not None and value not in _zones():
        raise BadCellError(column, "not an IANA zone such as Europe/Berlin")
    return value


@cache
def _zones() -> frozenset[str]:
    """Walking the zone files takes 5 ms."""
    return frozenset(zoneinfo.available_timezones())


def batches(
    rows: Iterator[tuple[int, T | Reject]], rejects: list[Reject]
) -> Iterator[list[tuple[int, T]]]:
    """The good rows, some thousand at a time; the others go to `rejects`."""
    batch: list[tuple[int, T]] = []
    for number, row in rows:
        if isinstance(row, Reject):
            rejects.append(row)
            continue
        batch.append((number, row))
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
