"""Batches that workers leave for each other: one contract, on both stores."""

import asyncio

import pytest

from recsys.errors import FeedError
from serving.feed import open_feed
from serving.feed.counts import KEPT
from tests.redis_server import RedisServer
from tests.serving.stores import Store

pytestmark = pytest.mark.anyio


async def test_each_gets_what_the_others_put_once_and_never_its_own(store: Store) -> None:
    here, there = await store.open(), await store.open()
    a, found = await here.exchange(b"before b came", after=None)
    assert found == []
    b, found = await there.exchange(None, after=None)
    assert found == []
    b, found = await there.exchange(b"b1", after=b)
    assert found == []
    a, found = await here.exchange(b"a\x001", after=a)
    assert found == [b"b1"]
    a, found = await here.exchange(b"a2", after=a)
    assert found == []
    b, found = await there.exchange(None, after=b)
    assert found == [b"a\x001", b"a2"]
    assert await there.exchange(None, after=b) == (b, [])
    assert await here.exchange(None, after=a) == (a, [])
    await here.close()
    await there.close()


async def test_the_latest_are_kept_and_numbers_go_on(store: Store) -> None:
    feed = await store.open()
    for _ in range(0, KEPT + 50, 50):
        await asyncio.gather(*(feed.exchange(b"a", after=None) for _ in range(50)))
    number, found = await feed.exchange(None, after=0)
    assert (number, len(found)) == (KEPT + 50, KEPT)
    assert await feed.exchange(b"x", after=number) == (number + 1, [])
    await feed.close()


@pytest.mark.redis
async def test_a_redis_that_is_gone_is_a_feed_error(redis_server: RedisServer) -> None:
    feed = await open_feed(redis_server.url)
    redis_server.kill()
    try:
        with pytest.raises(FeedError, match="is not reachable"):
            await feed.exchange(b"a", after=None)
    finally:
        redis_server.start()
    await feed.close()
