"""The drain: what the feed holds becomes parts of the dataset, each event exactly once.

The order is the proof. The feed stores the range, the part appears whole under its final
name, the range is confirmed. A kill between two of these leaves the same range, and so the
same part, to the next drain. Nothing is trimmed here.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from recsys.dataset import TABLES, Dataset
from recsys.errors import DataError, FeedError
from serving import parts
from serving.drain_impressions import drain_impressions
from serving.drain_promised import Promised, drain_promised
from serving.drain_told import drain_told
from serving.erasing import Erasures
from serving.feed.contract import ERASE, IDENTIFY, Event, Feed, Range

PART_EVENTS = 500_000
"""Events in a part at most: about 300 MB while it is written."""
BATCH_EVENTS = 10_000
_COLUMNS = TABLES["events"].schema


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the dataset and the sequence numbers in it."""

    path: Path
    held: Range


@dataclass(frozen=True, slots=True)
class _Held:
    """What a range of the feed holds: its entries by kind."""

    events: pl.DataFrame
    identities: pl.DataFrame
    erased: dict[str, int]
    """member and instant, in microseconds"""


async def drain(
    feed: Feed, dataset: Path, *, home: Path | None = None, promised: Promised = dict
) -> list[Part]:
    """Write events/feed-<shard>-<from>-<to>.parquet for all that the feed had at the start, and
    under the same name in identities/ and erasures/ what was said of visitors and members; and what
    was told of new products, what was shown, and what others `promised`.

    `home` holds the key that erased members are remembered under. They are taken out of every
    file of the dataset. Raises DataError if another drain of this dataset is under way, or if the
    dataset's parts do not continue into the feed's range.
    """
    if not dataset.is_dir():
        raise DataError(f"{dataset} is no folder: name the dataset's, or make it first")
    folder = dataset / "events"
    folder.mkdir(exist_ok=True)
    parts.flush(dataset)
    written = []
    with _alone(folder):
        for place in (dataset, *(dataset / table for table in TABLES)):
            parts.clear(place)
        erasures = Erasures(dataset, home)
        erasures.apply()
        for shard, last in (await feed.last_sequences()).items():
            stop = 0
            while stop < last and (fixed := await feed.fix_range(shard, limit=PART_EVENTS)):
                written.append(await _write(feed, dataset, fixed, erasures))
                await feed.confirm(fixed)
                stop = fixed.stop
        await drain_told(feed, dataset)
        drain_promised(promised(), dataset, erasures)
        shown = await drain_impressions(feed, dataset, erasures)
    return [*written, *(Part(path, held) for path, held in shown)]


async def _write(feed: Feed, dataset: Path, fixed: Range, erasures: Erasures) -> Part:
    """The events come last: their part's name says that the dataset contains the range."""
    name = f"feed-{fixed.shard}-{fixed.start}-{fixed.stop}.parquet"
    path = dataset / "events" / name
    _check_continues(dataset, path, fixed)
    held = await _read(feed, fixed)
    if path.exists():
        _check_same(path, held.events, fixed)
        parts.flush(path.parent)  # an earlier drain may have died between its rename and this
    if held.erased:
        erasures.record(held.erased, dataset / "erasures" / name)
        erasures.apply()
    if not held.identities.is_empty():
        (dataset / "identities").mkdir(exist_ok=True)
        parts.write(erasures.identities(held.identities), dataset / "identities" / name)
    if not path.exists():
        parts.write(erasures.events(held.events), path)
    return Part(path, fixed)


async def _read(feed: Feed, fixed: Range) -> _Held:
    frames, logins, erased = [], [], dict[str, int]()
    for start in range(fixed.start, fixed.stop + 1, BATCH_EVENTS):
        stop = min(fixed.stop, start + BATCH_EVENTS - 1)
        entries = await feed.read(fixed.shard, start, stop)
        if [seq for seq, _ in entries] != list(range(start, stop + 1)):
            raise FeedError(
                f"the feed has {len(entries)} of the events {start} to {stop} of shard "
                f"{fixed.shard}, which no dataset has yet: restore it from a backup"
            )
        events = []
        for _, one in entries:
            if one.kind == IDENTIFY:
                logins.append((one.visitor_id, one.member_id, one.occurred_at))
            elif one.kind == ERASE:
                member = str(one.member_id)
                erased[member] = max(one.occurred_at, erased.get(member, 0))
            else:
                events.append(one)
        frames.append(_frame(events))
    identities = pl.DataFrame(logins, TABLES["identities"].schema, orient="row")
    return _Held(pl.concat(frames), identities, erased)


def _frame(events: list[Event]) -> pl.DataFrame:
    columns = {name: [getattr(event, name) for event in events] for name in _COLUMNS}
    return pl.DataFrame(columns, schema=_COLUMNS)


def _check_continues(dataset: Path, path: Path, fixed: Range) -> None:
    """The dataset's parts end just before the range, or with this very part."""
    held = Dataset(dataset).feed_sequences().get(fixed.shard, 0)
    if held == fixed.start - 1 or (held == fixed.stop and path.exists()):
        return
    if held < fixed.start:
        raise DataError(
            f"{dataset} lacks the events {held + 1} to {fixed.start - 1} of the feed's shard "
            f"{fixed.shard}, drained into another folder: drain into that one, or copy its "
            "events/feed-*.parquet here"
        )
    raise _foreign(path, fixed)


def _check_same(path: Path, events: pl.DataFrame, fixed: Range) -> None:
    """An earlier drain wrote this part and died before the confirmation. It may lack rows that
    were erased since, and has none of its own."""
    ids = pl.read_parquet(path, columns=["event_id"])["event_id"]
    if not ids.is_in(events["event_id"].implode()).all():
        raise _foreign(path, fixed)


def _foreign(path: Path, fixed: Range) -> DataError:
    return DataError(
        f"{path.parent} has other events under the numbers {fixed.start} to {fixed.stop} of "
        f"shard {fixed.shard}: they came from another feed. Drain into this feed's own dataset; "
        "if the feed was started anew, rename the old feed-*.parquet first"
    )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder; the system lets go of it when the process ends, however it ends."""
    held = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise DataError(f"another drain is writing to {folder}: wait for it") from error
        yield
    finally:
        os.close(held)
