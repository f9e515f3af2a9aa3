"""Impressions out of the feed into the dataset.

The parts' own names say how far it is: the next part begins after the last one, so a drain that
was killed writes none twice. What is in a part is then forgotten by the feed.
"""

from pathlib import Path

import polars as pl

from recsys.dataset import TABLES, Dataset
from recsys.errors import DataError
from serving import parts
from serving.erasing import Erasures
from serving.feed.contract import Feed, Range
from serving.feed.impressions import Impression

PART_ROWS = 200_000
"""impressions in a part, about: some 200 MB while it is written"""
BATCHES = 100
_COLUMNS = TABLES["impressions"].schema


async def drain_impressions(
    feed: Feed, dataset: Path, erasures: Erasures
) -> list[tuple[Path, Range]]:
    """Write impressions/feed-<shard>-<from>-<to>.parquet without erased members; the numbers are
    those of batches.

    Raises DataError if the dataset's parts are those of another feed.
    """
    written = []
    folder = dataset / "impressions"
    held = Dataset(dataset).feed_sequences("impressions")
    for shard, last in (await feed.last_impressions()).items():
        done = held.get(shard, 0)
        if done > last:
            raise DataError(
                f"{folder} has impressions up to number {done} of shard {shard}, and the feed ends "
                f"at {last}: it is another feed, or was started anew. Rename the old "
                "impressions/feed-*.parquet first"
            )
        while done < last:
            rows, stop = await _read(feed, shard, after=done, last=last)
            if not rows:
                break
            folder.mkdir(exist_ok=True)
            parts.flush(dataset)
            path = folder / f"feed-{shard}-{done + 1}-{stop}.parquet"
            parts.write(erasures.kept("impressions", _frame(rows)), path)
            written.append((path, Range(shard, done + 1, stop)))
            done = stop
        await feed.forget_impressions(shard, done)
    return written


async def _read(feed: Feed, shard: int, *, after: int, last: int) -> tuple[list[Impression], int]:
    """The next part's rows, and the number of its last batch."""
    rows: list[Impression] = []
    stop = after
    while stop < last and len(rows) < PART_ROWS:
        found = await feed.read_impressions(shard, after=stop, limit=BATCHES)
        if not found:
            break
        for _, batch in found:
            rows += batch
        stop = found[-1][0]
    return rows, stop


def _frame(rows: list[Impression]) -> pl.DataFrame:
    columns = {name: [getattr(row, name) for row in rows] for name in _COLUMNS}
    return pl.DataFrame(columns, schema=_COLUMNS)
