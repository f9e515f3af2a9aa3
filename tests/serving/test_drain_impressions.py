"""Impressions reach the dataset's table once, whatever is killed in between."""

import os
from collections.abc import AsyncIterator
from pathlib import Path

import polars as pl
import pytest

from recsys.dataset import TABLES, Dataset
from recsys.errors import DataError
from serving import drain_impressions as module
from serving.drain import Part, drain
from serving.feed import open_feed
from serving.feed.contract import Event, Feed, Range
from serving.feed.impressions import Impression, Notice
from tests.redis_server import RedisServer

pytestmark = pytest.mark.anyio
NOW = 1_800_000_000_000_000


@pytest.fixture(params=["sqlite", pytest.param("redis, 3 shards", marks=pytest.mark.redis)])
async def feed(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Feed]:
    if request.param == "sqlite":
        opened = await open_feed(str(tmp_path / "feed.db"))
    else:
        server: RedisServer = request.getfixturevalue("redis_server")
        opened = await open_feed(server.url, shards=3)
    yield opened
    await opened.close()


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "dataset"
    path.mkdir()
    return path


def impressions(start: int, stop: int) -> list[Impression]:
    return [
        Impression(
            f"r{n}", f"m{n % 5}", None, "home", [f"p{n}", "p"], NOW + n, "v1",
            "calm:buried" if n % 2 else None, [1.0, 0.25] if n % 3 else None,
        )
        for n in range(start, stop)
    ]  # fmt: skip


async def shown(feed: Feed, start: int, stop: int, *, batch: int = 2) -> None:
    for first in range(start, stop, batch):
        await feed.show(impressions(first, min(stop, first + batch)), [])


def stored(dataset: Path) -> list[str]:
    checked = Dataset(dataset)
    found = sorted(checked.read("impressions")["request_id"].to_list())
    assert checked.rejected == {"impressions": 0}
    return found


def expected(count: int) -> list[str]:
    return sorted(f"r{n}" for n in range(count))


async def test_parts_have_the_types_of_the_table(feed: Feed, dataset: Path) -> None:
    await feed.append([Event("e", "view", NOW, "p", "m1")], now=NOW)
    await shown(feed, 0, 20)
    parts = [part for part in await drain(feed, dataset) if part.path.parent.name == "impressions"]
    whole = pl.concat([pl.read_parquet(part.path) for part in parts]).sort("shown_at")
    assert whole.schema == TABLES["impressions"].schema
    assert stored(dataset) == expected(20)
    assert whole["product_ids"].to_list()[3] == ["p3", "p"]
    assert whole["propensities"].to_list()[3:5] == [None, [1.0, 0.25]]
    assert whole["variant"].to_list()[:2] == [None, "calm:buried"]
    assert whole["shown_at"].dt.epoch("us").to_list() == [NOW + n for n in range(20)]


async def test_a_drain_goes_on_after_the_last_part_and_the_feed_forgets(
    feed: Feed, dataset: Path
) -> None:
    await shown(feed, 0, 7)
    await drain(feed, dataset)
    assert await drain(feed, dataset) == []
    await shown(feed, 7, 12)
    await drain(feed, dataset)
    assert stored(dataset) == expected(12)
    for shard in await feed.last_impressions():
        assert await feed.read_impressions(shard, after=0, limit=9) == []


async def test_a_kill_before_the_feed_forgets_doubles_nothing(
    feed: Feed, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    async def killed(*_: object) -> None:
        raise Killed

    await shown(feed, 0, 6)
    with monkeypatch.context() as patched:
        patched.setattr(type(feed), "forget_impressions", killed)
        with pytest.raises(Killed):
            await drain(feed, dataset)
    await shown(feed, 6, 9)
    await drain(feed, dataset)
    assert stored(dataset) == expected(9)


async def test_a_part_that_was_half_written_is_written_again(
    feed: Feed, dataset: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        if list((dataset / "impressions").glob(".*")):
            raise OSError(28, "No space left on device")

    await shown(feed, 0, 4)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left"):
            await drain(feed, dataset)
    (dataset / "impressions" / ".feed-0-1-1.parquet.tmp").write_bytes(b"PAR1 and no more")
    await drain(feed, dataset)
    assert stored(dataset) == expected(4)
    assert not list((dataset / "impressions").glob(".*"))


async def test_many_become_several_parts(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    feed = await open_feed(str(tmp_path / "many.db"))
    monkeypatch.setattr(module, "PART_ROWS", 5)
    monkeypatch.setattr(module, "BATCHES", 2)
    await shown(feed, 0, 17)
    held = [part.held for part in await drain(feed, dataset)]
    assert held == [Range(0, 1, 4), Range(0, 5, 8), Range(0, 9, 9)]
    assert stored(dataset) == expected(17)
    assert await drain(feed, dataset) == []
    await feed.close()


async def test_batches_that_the_feed_gave_up_leave_a_gap_and_no_error(
    feed: Feed, dataset: Path
) -> None:
    await shown(feed, 0, 6)
    for shard, last in (await feed.last_impressions()).items():
        await feed.forget_impressions(shard, last - 1)
    parts = await drain(feed, dataset)
    assert {part.held.stop for part in parts} <= set((await feed.last_impressions()).values())
    assert set(stored(dataset)) < set(expected(6))


async def test_another_feed_is_refused_after_its_events_are_safe(
    feed: Feed, dataset: Path, tmp_path: Path
) -> None:
    await shown(feed, 0, 20)
    await drain(feed, dataset)
    anew = await open_feed(str(tmp_path / "anew.db"))
    await anew.append([Event("e", "view", NOW, "p", "m1")], now=NOW)
    with pytest.raises(DataError, match=r"impressions up to number .* Rename the old"):
        await drain(anew, dataset)
    assert Dataset(dataset).feed_sequences() == {0: 1}
    for part in (dataset / "impressions").iterdir():
        part.rename(part.with_name(f"old-{part.name}"))
    await shown(anew, 20, 22)
    assert await drain(anew, dataset) == [
        Part(dataset / "impressions" / "feed-0-1-1.parquet", Range(0, 1, 1))
    ]
    assert stored(dataset) == expected(22)
    await anew.close()


async def test_an_erased_member_leaves_no_impressions_and_may_come_back(
    feed: Feed, dataset: Path, tmp_path: Path
) -> None:
    await shown(feed, 0, 4)
    await drain(feed, dataset, home=tmp_path)
    await shown(feed, 4, 8)  # of m0 to m4, and m0 to m2
    await feed.show([], [Notice("m:m1", 1, ["p"], 9), Notice("m:m2", 1, ["p"], 9)])
    await feed.erase("m1", event_id="erasure", until=NOW + 6, now=NOW + 9)
    assert (await feed.recent("m:m1", after={}, limit=1, shown=True)).shown == {}
    assert (await feed.recent("m:m2", after={}, limit=1, shown=True)).shown != {}
    await feed.show([impressions(11, 12)[0]], [])  # m1 again
    await drain(feed, dataset, home=tmp_path)
    assert stored(dataset) == sorted(f"r{n}" for n in (0, 2, 3, 4, 5, 7, 11))
