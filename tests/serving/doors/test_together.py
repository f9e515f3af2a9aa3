"""Several workers on one feed keep one limit; without the feed each keeps its own."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from serving import following
from serving.doors.access import DeniedError
from serving.doors.door import Doors
from serving.doors.settings import DoorSettings
from serving.doors.together import follow
from tests.redis_server import RedisServer
from tests.serving.live import NOW, RECOMMENDATIONS
from tests.serving.served import eventually, served
from tests.serving.stores import Store

pytestmark = pytest.mark.anyio
BURST = 6


class Standing:
    """A clock of seconds that a test moves."""

    at = 500.0

    def __call__(self) -> float:
        return self.at


@asynccontextmanager
async def two_workers(store: Store, clock: Standing) -> AsyncIterator[list[Doors]]:
    settings = DoorSettings(server_rate=1, server_burst=BURST)
    crew = [Doors(None, settings, lambda: NOW, clock) for _ in range(2)]
    feeds = [await store.open() for _ in crew]
    tasks = [
        asyncio.create_task(follow(doors, feed, 0.02))
        for doors, feed in zip(crew, feeds, strict=True)
    ]
    await asyncio.sleep(0.2)  # both have looked where the others are
    yield crew
    assert not any(task.done() for task in tasks), "nothing ends it"
    await following.end(tasks)
    for feed in feeds:
        await feed.close()


def asked(doors: Doors, host: str = "192.0.2.1") -> bool:
    """Whether one request is let in, or else has to wait."""
    scope = {"method": "GET", "path": RECOMMENDATIONS, "headers": [], "client": (host, 1)}
    try:
        return doors.admit(scope).kind == "open"
    except DeniedError as error:
        return error.status != 429


async def test_who_spent_a_burst_at_one_worker_finds_none_at_the_other(store: Store) -> None:
    async with two_workers(store, Standing()) as (here, there):
        assert [asked(here) for _ in range(BURST + 1)] == [True] * BURST + [False]
        assert asked(there, "192.0.2.2")
        async with asyncio.timeout(20):
            while asked(there):
                await asyncio.sleep(0.05)
        assert asked(there, "192.0.2.2"), "another caller is not held up"


@pytest.mark.redis
async def test_while_the_feed_fails_each_worker_keeps_its_own_limit(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Standing()
    async with two_workers(Store(redis_server.url, 1), clock) as (here, there):
        redis_server.kill()
        try:
            with caplog.at_level(logging.WARNING):
                while "each worker alone" not in caplog.text:
                    await asyncio.sleep(0.02)
                for doors in (here, there):
                    assert [asked(doors) for _ in range(BURST + 1)] == [True] * BURST + [False]
                await asyncio.sleep(0.2)
            assert caplog.text.count("each worker alone") == 2, "once for each"
            assert "192.0.2.1" not in caplog.text
        finally:
            redis_server.start()
        async with asyncio.timeout(20):
            heard = False
            while not heard:
                clock.at += 1000
                await asyncio.sleep(0.1)
                spent = [asked(here) for _ in range(BURST)]
                assert all(spent), "what could not be told is not held against anybody later"
                await asyncio.sleep(0.1)
                heard = not asked(there)


@pytest.mark.slow
def test_three_workers_let_through_little_more_than_one(small_model: Path, tmp_path: Path) -> None:
    rate, burst, workers = 4, 8, 3
    limits = {"doors__server_rate": rate, "doors__server_burst": burst}
    with served(small_model, tmp_path / "home", workers=workers, **limits) as running:
        eventually(lambda: running.log.count("answering on http") == workers)
        begun = time.monotonic()

        def let_through(_: int) -> int:
            passed = 0
            apart = httpx.Limits(max_keepalive_connections=0)  # so that any worker may answer
            with httpx.Client(limits=apart, timeout=20) as client:
                while time.monotonic() - begun < 10:
                    passed += client.get(address, params={"limit": 1}).status_code == 200
            return passed

        address = f"http://127.0.0.1:{running.port}{RECOMMENDATIONS}"
        with ThreadPoolExecutor(4) as callers:
            passed = sum(callers.map(let_through, range(4)))
        seconds = time.monotonic() - begun
    most = burst + rate * seconds + (workers - 1) * (burst + 2 * rate)
    assert burst + rate * seconds / 2 <= passed <= most, (passed, seconds)
