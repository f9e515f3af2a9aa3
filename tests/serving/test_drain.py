"""The feed's events reach the dataset exactly once, whatever dies in between."""

import asyncio
import errno
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import polars as pl
import pytest

from recsys.dataset import TABLES, Dataset
from recsys.errors import DataError, FeedError
from serving import drain as drain_module
from serving.drain import Part, drain
from serving.feed import open_feed
from serving.feed.contract import Event, Feed, Range
from tests.redis_server import RedisServer

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
NOW = 1_800_000_000_000_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
async def feed(tmp_path: Path) -> AsyncIterator[Feed]:
    opened = await open_feed(str(tmp_path / "feed.db"))
    yield opened
    await opened.close()


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "dataset"
    path.mkdir()
    return path


def events(start: int, stop: int) -> list[Event]:
    return [
        Event(f"e{n}", "purchase", NOW + n, f"p{n}", f"m{n % 3}", quantity=2, amount=n / 4)
        for n in range(start, stop)
    ]


def stored(dataset: Path) -> list[str]:
    """The ids in the dataset, as everyone who trains reads them."""
    return sorted(Dataset(dataset).scan("events").collect()["event_id"].to_list())


def expected(count: int) -> list[str]:
    return sorted(f"e{n}" for n in range(count))


async def test_a_part_has_the_events_in_the_types_of_the_table(feed: Feed, dataset: Path) -> None:
    await feed.append(events(0, 3), now=NOW)
    path = dataset / "events" / "feed-0-1-3.parquet"
    assert await drain(feed, dataset) == [Part(path, Range(0, 1, 3))]
    part = pl.read_parquet(path)
    assert part.schema == TABLES["events"].schema
    assert part["occurred_at"].dt.epoch("us").to_list() == [NOW, NOW + 1, NOW + 2]
    assert part["amount"].to_list() == [0, 0.25, 0.5]
    assert part["query"].to_list() == [None] * 3
    accepted = Dataset(dataset)
    assert accepted.read("events").height == 3
    assert accepted.rejected == {"events": 0}
    assert accepted.feed_sequences() == {0: 3}


async def test_a_drain_goes_on_where_the_last_one_ended(feed: Feed, dataset: Path) -> None:
    assert await drain(feed, dataset) == []
    await feed.append(events(0, 4), now=NOW)
    await drain(feed, dataset)
    assert await drain(feed, dataset) == []
    await feed.append(events(4, 6), now=NOW)
    assert [part.held for part in await drain(feed, dataset)] == [Range(0, 5, 6)]
    assert stored(dataset) == expected(6)
    assert len(await feed.read(0, 1, 6)) == 6, "a drain never trims"


async def test_a_long_range_becomes_several_parts_read_in_batches(
    feed: Feed, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drain_module, "PART_EVENTS", 7)
    monkeypatch.setattr(drain_module, "BATCH_EVENTS", 3)
    await feed.append(events(0, 17), now=NOW)
    parts = await drain(feed, dataset)
    assert [(part.held.start, part.held.stop) for part in parts] == [(1, 7), (8, 14), (15, 17)]
    assert stored(dataset) == expected(17)


@pytest.mark.redis
async def test_each_shard_has_its_own_parts(redis_server: RedisServer, dataset: Path) -> None:
    feed = await open_feed(redis_server.url, shards=3)
    await feed.append(events(0, 30), now=NOW)
    last = await feed.last_sequences()
    assert len(await drain(feed, dataset)) == sum(1 for stop in last.values() if stop)
    assert stored(dataset) == expected(30)
    held = Dataset(dataset).feed_sequences()
    assert held == {shard: stop for shard, stop in last.items() if stop}
    await feed.close()


async def test_left_overs_are_no_parts_and_are_cleared(feed: Feed, dataset: Path) -> None:
    await feed.append(events(0, 2), now=NOW)
    folder = dataset / "events"
    folder.mkdir()
    left_over = folder / ".feed-0-1-2.parquet.tmp"
    left_over.write_bytes(b"PAR1 and no more")
    (folder / "mine.tmp").write_text("somebody else's")
    await drain(feed, dataset)
    assert {path.name for path in folder.iterdir()} == {"feed-0-1-2.parquet", "mine.tmp"}
    assert stored(dataset) == expected(2)


async def test_a_second_drain_at_once_is_refused_and_harms_nothing(
    feed: Feed, dataset: Path
) -> None:
    await feed.append(events(0, 5), now=NOW)
    (dataset / "events").mkdir()
    held = os.open(dataset / "events", os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    with pytest.raises(DataError, match=r"another drain .*events: wait for it"):
        await drain(feed, dataset)
    os.close(held)
    outcomes = await asyncio.gather(
        drain(feed, dataset), drain(feed, dataset), return_exceptions=True
    )
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["DataError", "list"]
    assert stored(dataset) == expected(5)


async def test_a_full_disk_leaves_nothing_behind_and_the_next_drain_finishes(
    feed: Feed, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await feed.append(events(0, 5), now=NOW)
    (dataset / "events").mkdir()

    def full(_: int) -> None:
        if list((dataset / "events").glob(".*")):
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            await drain(feed, dataset)
    assert list((dataset / "events").iterdir()) == []
    await feed.append(events(5, 9), now=NOW)
    assert [part.held.stop for part in await drain(feed, dataset)] == [5, 9]
    assert stored(dataset) == expected(9)


async def test_a_folder_that_is_not_there_is_not_made(feed: Feed, tmp_path: Path) -> None:
    await feed.append(events(0, 1), now=NOW)
    with pytest.raises(DataError, match="typo is no folder"):
        await drain(feed, tmp_path / "typo")
    assert not (tmp_path / "typo").exists()


async def test_another_folder_than_before_is_refused(feed: Feed, tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    await feed.append(events(0, 3), now=NOW)
    await drain(feed, one)
    await feed.append(events(3, 5), now=NOW)
    with pytest.raises(DataError, match=r"other lacks the events 1 to 3 .* drain into that one"):
        await drain(feed, other)
    assert Dataset(other).files("events") == []
    await drain(feed, one)
    assert stored(one) == expected(5)


@pytest.mark.parametrize("count", [2, 3, 5])
async def test_parts_of_another_feed_are_never_overwritten(
    feed: Feed, dataset: Path, tmp_path: Path, count: int
) -> None:
    await feed.append(events(0, 3), now=NOW)
    await drain(feed, dataset)
    anew = await open_feed(str(tmp_path / "anew.db"))
    await anew.append(events(100, 100 + count), now=NOW)
    with pytest.raises(DataError, match=r"rename the old feed-\*\.parquet"):
        await drain(anew, dataset)
    await anew.close()
    assert stored(dataset) == expected(3)


async def test_a_feed_with_a_hole_is_not_drained(feed: Feed, dataset: Path, tmp_path: Path) -> None:
    await feed.append(events(0, 3), now=NOW)
    damage = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); "
    damage += "c.execute('DELETE FROM event WHERE seq = 2'); c.commit()"
    subprocess.run([sys.executable, "-c", damage, str(tmp_path / "feed.db")], check=True)
    with pytest.raises(FeedError, match="2 of the events 1 to 3"):
        await drain(feed, dataset)
    assert Dataset(dataset).files("events") == []


async def test_rows_erased_from_an_unconfirmed_part_stay_erased(feed: Feed, dataset: Path) -> None:
    await feed.append(events(0, 3), now=NOW)
    assert await feed.fix_range(0, limit=9) == Range(0, 1, 3)
    other = await open_feed(str(dataset.parent / "same.db"))
    await other.append(events(0, 3), now=NOW)
    (part,) = await drain(other, dataset)
    await other.close()
    pl.read_parquet(part.path).filter(pl.col("event_id") != "e1").write_parquet(part.path)
    await drain(feed, dataset)
    assert stored(dataset) == ["e0", "e2"]


# Each fork dies before its n-th step: a call that changes a file or the feed's mark.
DYING = """
import asyncio, json, os, pathlib, signal, sys
from itertools import count
from serving import drain as drain_module
from serving.feed.contract import Event
from serving.feed.sqlite import SqliteFeed, open_sqlite

PATCHED = [(os, "fsync"), (os, "replace"), (pathlib.Path, "mkdir"), (pathlib.Path, "open"),
           (pathlib.Path, "unlink"), (SqliteFeed, "fix_range"), (SqliteFeed, "confirm")]

def dying(name, step, *, until, took):
    def call(*args, **kwargs):
        took.append(name)
        if len(took) == until:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(*args, **kwargs)
    return call

async def main(folder, until):
    (folder / "dataset").mkdir(parents=True)
    feed = open_sqlite(folder / "feed.db")
    given = [Event(f"e{n}", "view", n, "p", f"m{n % 3}") for n in range(8)]
    await feed.append(given, now=1)
    drain_module.PART_EVENTS = 5
    took = []
    for owner, name in PATCHED:
        setattr(owner, name, dying(name, getattr(owner, name), until=until, took=took))
    await drain_module.drain(feed, folder / "dataset")
    await feed.close()
    os.write(1, json.dumps(took).encode())

for until in count(1):
    if (child := os.fork()) == 0:
        asyncio.run(main(pathlib.Path(sys.argv[1], str(until)), until))
        os._exit(0)
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != -signal.SIGKILL:
        break
"""


def die_at_each_step(folder: Path) -> list[str]:
    """One folder a step, named by its number; returns the steps of a drain that lived."""
    run = [sys.executable, "-W", "error", "-c", DYING, str(folder)]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True, timeout=120)
    steps: list[str] = json.loads(done.stdout)
    return steps


async def test_a_kill_between_any_two_steps_neither_loses_nor_doubles(tmp_path: Path) -> None:
    steps = die_at_each_step(tmp_path)
    part = ["fix_range", "open", "fsync", "replace", "unlink", "fsync", "confirm"]
    assert [step for step in steps if step in part][-14:] == part * 2
    for until in range(1, len(steps) + 1):
        folder = tmp_path / str(until)
        if (folder / "dataset" / "events").exists():
            found = stored(folder / "dataset") if Dataset(folder / "dataset").has("events") else []
            assert len(found) == len(set(found)), f"killed at {until}, before {steps[until - 1]}"
            assert found in ([], expected(5), expected(8))
        feed = await open_feed(str(folder / "feed.db"))
        # What comes between the kill and the repeat must not change the range that was fixed.
        await feed.append(events(8, 11), now=NOW)
        await drain(feed, folder / "dataset")
        assert stored(folder / "dataset") == expected(11), f"killed before {steps[until - 1]}"
        assert not list((folder / "dataset" / "events").glob(".*"))
        assert await drain(feed, folder / "dataset") == []
        await feed.close()
