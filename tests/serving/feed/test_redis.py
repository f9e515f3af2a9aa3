"""What only Redis can get wrong."""

import re
import socket

import pytest
from redis.crc import key_slot

from recsys.errors import FeedError
from serving.feed import open_feed
from serving.feed.contract import KEPT_RECENT, REMEMBERED_US, Appended, Event
from tests.redis_server import RedisServer

pytestmark = [pytest.mark.anyio, pytest.mark.redis]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def view(event_id: str, member: str = "ann") -> Event:
    return Event(event_id, "view", 1, product_id="p", member_id=member)


async def test_an_unreachable_redis_is_named_without_its_password() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(FeedError, match=f"127.0.0.1:{port} is not reachable .*: start it") as said:
        await open_feed(f"redis://user:s3cret@127.0.0.1:{port}/0")
    assert "s3cret" not in str(said.value)


async def test_an_address_that_does_not_parse_is_not_repeated() -> None:
    with pytest.raises(FeedError, match="does not parse") as said:
        await open_feed("redis://:s3cret@localhost:s3cret/0")
    assert "s3cret" not in str(said.value)
    assert said.value.__cause__ is None


async def test_a_refused_password_is_said(redis_server: RedisServer) -> None:
    url = redis_server.url.replace("//", "//someone:s3cret@")
    with pytest.raises(FeedError, match=r"refuses the feed .* user and password") as said:
        await open_feed(url)
    assert "s3cret" not in str(said.value)


async def test_a_safe_redis_needs_no_warning(redis_server: RedisServer) -> None:
    feed = await open_feed(redis_server.url)
    assert feed.warnings == ()
    await feed.close()


@pytest.mark.parametrize(
    ("name", "weak", "safe"),
    [
        ("appendfsync", "everysec", "always"),
        ("no-appendfsync-on-rewrite", "yes", "no"),
        ("maxmemory-policy", "allkeys-lru", "noeviction"),
    ],
)
async def test_a_weaker_redis_is_said(
    redis_server: RedisServer, name: str, weak: str, safe: str
) -> None:
    with redis_server.client() as client:
        client.config_set(name, weak)
        feed = await open_feed(redis_server.url)
        client.config_set(name, safe)
    (warning,) = feed.warnings
    assert f"{name} {weak}" in warning
    assert warning.endswith(f"set it to {safe}")
    await feed.close()


async def test_a_redis_that_hides_its_settings_is_said(redis_server: RedisServer) -> None:
    with redis_server.client() as client:
        client.execute_command("ACL SETUSER app on >x ~* +@all -config")
        feed = await open_feed(redis_server.url.replace("//", "//app:x@"))
        client.acl_deluser("app")
    assert re.search("does not show its settings; .* appendfsync always", feed.warnings[0])
    await feed.close()


async def test_shards_are_fixed_at_the_first_start(redis_server: RedisServer) -> None:
    await (await open_feed(redis_server.url, shards=4)).close()
    feed = await open_feed(redis_server.url, shards=2)
    assert feed.shards == 4
    assert "has 4 shards since its first start, not 2" in feed.warnings[0]
    await feed.close()


async def test_a_foreign_layout_is_refused(redis_server: RedisServer) -> None:
    await (await open_feed(redis_server.url)).close()
    with redis_server.client() as client:
        client.hset("guesslike:feed", "layout", "3")
    with pytest.raises(FeedError, match="layout 3, and this program knows 2"):
        await open_feed(redis_server.url)


async def test_the_layout_before_is_brought_up_to_date(redis_server: RedisServer) -> None:
    await (await open_feed(redis_server.url)).close()
    with redis_server.client() as client:
        client.hset("guesslike:feed", "layout", "1")
        await (await open_feed(redis_server.url)).close()
        assert client.hget("guesslike:feed", "layout") == "2", "so that an older program refuses it"


async def test_a_full_redis_is_said_and_takes_all_of_a_batch_or_nothing(
    redis_server: RedisServer,
) -> None:
    feed = await open_feed(redis_server.url)
    await feed.append([view("e0")], now=1)
    with redis_server.client() as client:
        client.config_set("maxmemory", 1)
        try:
            with pytest.raises(FeedError, match=r"is full .* then send again"):
                await feed.append([view("e1"), view("e2")], now=1)
        finally:
            client.config_set("maxmemory", 0)
    assert len(await feed.read(0, 1, 9)) == 1
    assert await feed.append([view("e1"), view("e2")], now=1) == Appended(2, 0)
    await feed.close()


async def test_recent_and_append_are_one_command_each(redis_server: RedisServer) -> None:
    feed = await open_feed(redis_server.url)
    await feed.append([view("e0")], now=1)
    with redis_server.client() as client:
        client.config_resetstat()
        await feed.recent("m:ann", after={}, limit=9)
        await feed.append([view("e1"), view("e2", "bob")], now=1)
        stats = client.info("commandstats")
    sent = {name: stats[name]["calls"] for name in stats}
    inside = {"cmdstat_config|resetstat", "cmdstat_hmget", "cmdstat_hset", "cmdstat_xadd"}
    inside |= {"cmdstat_zadd", "cmdstat_lindex", "cmdstat_rpush", "cmdstat_ltrim"}
    assert {k: n for k, n in sent.items() if k not in inside} == {
        "cmdstat_lrange": 1,
        "cmdstat_evalsha": 1,
    }
    await feed.close()


async def test_all_keys_of_a_shard_are_in_one_slot(redis_server: RedisServer) -> None:
    feed = await open_feed(redis_server.url, shards=3)
    events = [view(f"e{n}", f"m{n}") for n in range(30)]
    await feed.append(events, now=1)
    with redis_server.client() as client:
        keys = set(client.keys()) - {"guesslike:feed"}
        assert len(keys) == 30 + 3 * 3
    slots = {(key.partition("}")[0], key_slot(key.encode())) for key in keys}
    assert {tag for tag, _ in slots} == {"{guesslike:0", "{guesslike:1", "{guesslike:2"}
    assert len(slots) == 3
    await feed.close()


async def test_nothing_but_marks_is_left_after_a_trim_and_the_span(
    redis_server: RedisServer,
) -> None:
    feed = await open_feed(redis_server.url)
    await feed.append([view(f"e{n}", f"m{n % 9}") for n in range(1200)], now=1)
    await feed.append([view(f"f{n}") for n in range(KEPT_RECENT + 100)], now=1)
    with redis_server.client() as client:
        assert client.llen("{guesslike:0}:s:m:ann") == KEPT_RECENT
        fixed = await feed.fix_range(0, limit=10_000)
        assert fixed is not None
        await feed.confirm(fixed)
        await feed.trim(0, fixed.stop, now=1)
        assert client.zcard("{guesslike:0}:seen") == fixed.stop
        await feed.trim(0, fixed.stop, now=2 + REMEMBERED_US)
        left = set(client.keys())
        assert left <= {"guesslike:feed", "{guesslike:0}:mark", "{guesslike:0}:log"}
        assert client.xlen("{guesslike:0}:log") == 0
    await feed.close()
