"""Imports consent and contact points from a CSV file, row by row, with a reason for each reject."""

import zoneinfo
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from pathlib import Path

from campaigns.csv_file import rows_of
from campaigns.ledger.consent import Statement, record
from campaigns.ledger.identity import CHANNELS, normalise
from campaigns.ledger.ledger import Ledger

REQUIRED = ("member_id", "channel", "address", "consent", "at")
OPTIONAL = ("source", "timezone", "language")
_ANSWERS = {"yes": True, "no": False}
_BATCH = 5_000


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


def import_consent(path: Path, ledger: Ledger, *, now: datetime) -> Imported:
    """Adds the file's statements to the ledger; the same file again adds nothing.

    A suppression is never reopened. DataError for a file without the required columns.
    """
    rejects: list[Reject] = []
    new = read = 0
    batch: list[Statement] = []
    for one in _statements(path, now):
        if isinstance(one, Reject):
            rejects.append(one)
            continue
        read += 1
        batch.append(one)
        if len(batch) == _BATCH:
            new += record(ledger, batch, now=now)
            batch = []
    new += record(ledger, batch, now=now)
    return Imported(new, read - new, tuple(rejects))


def _statements(path: Path, now: datetime) -> Iterator[Statement | Reject]:
    for number, row in rows_of(path, "consent file", required=REQUIRED, optional=OPTIONAL):
        try:
            yield _statement(row, now)
        except _BadCellError as bad:
            yield Reject(number, bad.column, bad.rule)


class _BadCellError(Exception):
    def __init__(self, column: str, rule: str) -> None:
        super().__init__(rule)
        self.column, self.rule = column, rule


def _statement(row: Mapping[str, str | None], now: datetime) -> Statement:
    cells = {name: (row.get(name) or "") for name in (*REQUIRED, *OPTIONAL)}
    member_id, channel = cells["member_id"].strip(), cells["channel"].strip()
    if not member_id:
        raise _BadCellError("member_id", "empty")
    if channel not in CHANNELS:
        raise _BadCellError("channel", f"unknown; known: {', '.join(CHANNELS)}")
    try:
        normalise(channel, cells["address"])
    except ValueError as error:
        raise _BadCellError("address", str(error)) from None
    answer = cells["consent"].strip().lower()
    if answer not in _ANSWERS:
        raise _BadCellError("consent", "must be yes or no")
    zone = cells["timezone"].strip() or None
    if zone is not None and zone not in _zones():
        raise _BadCellError("timezone", "not an IANA zone such as Europe/Berlin")
    return Statement(
        member_id=member_id,
        channel=channel,
        address=cells["address"],
        granted=_ANSWERS[answer],
        at=_instant(cells["at"].strip(), now),
        source=cells["source"].strip() or "import",
        timezone=zone,
        language=cells["language"].strip() or None,
    )


@cache
def _zones() -> frozenset[str]:
    """Walking the zone files takes 5 ms."""
    return frozenset(zoneinfo.available_timezones())


def _instant(cell: str, now: datetime) -> datetime:
    try:
        at = datetime.fromisoformat(cell)
    except ValueError:
        raise _BadCellError("at", "not an instant such as 2017-12-01T09:00:00Z") from None
    if at.tzinfo is None:
        raise _BadCellError("at", "has no time zone; write 2017-12-01T09:00:00Z")
    if at > now:
        raise _BadCellError("at", "lies in the future")
    return at
