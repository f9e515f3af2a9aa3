"""A feed that fails or hangs: lists go on from the model, and it is said."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.redis_server import RedisServer
from tests.serving.live import EVENTS, event, in_process, items, products, send, service, unrotated
from tests.serving.test_metrics import value
from tests.small_shop import MEMBERS

pytestmark = [pytest.mark.anyio, pytest.mark.redis]
ANN = MEMBERS[0]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis of this test's own, to be killed and stopped."""
    server = RedisServer(tmp_path)
    server.start()
    yield server
    server.kill()


async def health(client: httpx.AsyncClient) -> tuple[bool, str]:
    ready = await client.get("/readyz")
    assert ready.status_code == 200
    return ready.json()["feed_answers"], ready.json()["answers_from"]


def watched(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """What was said of the feed as requests see it; news of products speak for themselves."""
    return [record for record in caplog.records if record.name == "serving.watched"]


async def test_a_failing_feed_is_told_once_counted_and_shown_until_it_answers(
    small_model: Path, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="serving.watched")
    async with in_process(service(small_model, server.url)) as client:
        await send(client, event("view", "p10", member_id=ANN))
        with_event = await items(client, member_id=ANN)
        assert await health(client) == (True, "model and feed")

        server.kill()
        for _ in range(3):
            assert await items(client, member_id=ANN) != with_event
        refused = await client.post(EVENTS, json={"events": [event("view", "p1")]})
        assert refused.status_code == 503
        assert await health(client) == (False, "model alone")
        metrics = (await client.get("/metrics")).text
        assert value(metrics, "guesslike_feed_failures_total", operation="recent") == 3
        assert value(metrics, "guesslike_feed_failures_total", operation="append") == 1
        assert value(metrics, "guesslike_feed_up") == 0
        (said,) = watched(caplog)
        ready = (await client.get("/readyz")).json()
        assert vars(said)["model_version"] == ready["model_version"]
        assert len(vars(said)["request_id"]) == 32

        server.start()
        assert await items(client, member_id=ANN) == with_event
        assert await health(client) == (True, "model and feed")
        assert "answers again, after 4 failed calls" in watched(caplog)[-1].getMessage()
        assert value((await client.get("/metrics")).text, "guesslike_feed_up") == 1
    assert ANN not in caplog.text


async def test_a_hanging_feed_holds_up_one_list_at_a_time(
    small_model: Path, server: RedisServer, tmp_path: Path
) -> None:
    still = service(small_model, server.url, placements=unrotated(tmp_path))
    async with in_process(still) as client:
        await send(client, event("view", "p10", member_id=ANN))
        with_event = await items(client, member_id=ANN)
        with server.client() as admin:
            pid = int(admin.info("server")["process_id"])
        os.kill(pid, signal.SIGSTOP)
        try:
            await items(client, member_id=ANN)  # finds out, after the feed's time limit
            begun = time.monotonic()
            for _ in range(20):
                assert await items(client, member_id=ANN) != with_event
            assert time.monotonic() - begun < 1, "20 lists waited for a feed that hangs"

            await asyncio.sleep(1.1)
            probing = asyncio.create_task(items(client, member_id=ANN))
            await asyncio.sleep(0.1)
            begun = time.monotonic()
            await items(client, member_id=ANN)
            assert time.monotonic() - begun < 1
            assert not probing.done(), "one request asks again, and waits"
            await probing
        finally:
            os.kill(pid, signal.SIGCONT)
        await asyncio.sleep(1.1)
        assert await items(client, member_id=ANN) == with_event
        assert await health(client) == (True, "model and feed")


async def test_an_event_that_gets_through_ends_the_pause(
    small_model: Path, server: RedisServer
) -> None:
    async with in_process(service(small_model, server.url)) as client:
        first = products(await items(client, member_id=ANN))[0]
        with server.client() as admin:
            pid = int(admin.info("server")["process_id"])
        os.kill(pid, signal.SIGSTOP)
        await items(client, member_id=ANN)
        os.kill(pid, signal.SIGCONT)
        await send(client, event("purchase", first, member_id=ANN))
        assert first not in products(await items(client, member_id=ANN))
