"""Impressions and what was shown of late: one contract, on both stores."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.feed import open_feed
from serving.feed.contract import Feed, shard_of
from serving.feed.impressions import (
    KEPT_DAYS,
    KEPT_PRODUCTS,
    MOST_SHOWINGS,
    Impression,
    Notice,
)
from tests.redis_server import RedisServer

pytestmark = pytest.mark.anyio
NOW = 30_000_000
"""minutes since 1970"""
STORES = [
    "sqlite",
    pytest.param("redis", marks=pytest.mark.redis),
    pytest.param("redis, 3 shards", marks=pytest.mark.redis),
]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=STORES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, int]:
    if request.param == "sqlite":
        return str(tmp_path / "feed.db"), 1
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url, 3 if "3" in request.param else 1


@pytest.fixture
async def feed(store: tuple[str, int]) -> AsyncIterator[Feed]:
    opened = await open_feed(store[0], shards=store[1])
    yield opened
    await opened.close()


def impression(number: int, member: str | None = "ann", **more: object) -> Impression:
    visitor = None if member else "vic"
    given = {"product_ids": ["p1", "产品"], "shown_at": NOW * 60_000_000 + number, **more}
    return Impression(f"r{number}", member, visitor, "home", **given)  # type: ignore[arg-type]


def showing(at: int, *products: str, subject: str = "m:ann", row: int = 1_000) -> Notice:
    return Notice(subject, NOW + at, list(products), row)


def act(at: int, *products: str, subject: str = "m:ann") -> Notice:
    return Notice(subject, NOW + at, list(products), None)


async def shown(feed: Feed, subject: str = "m:ann") -> dict[str, tuple[int, int]]:
    """The minute of the latest showing, from NOW on, and the count."""
    found = (await feed.recent(subject, after={}, limit=5, shown=True)).shown
    return {product: (seen // 16 - NOW, seen % 16) for product, seen in found.items()}


async def batches(feed: Feed) -> dict[int, list[tuple[int, list[Impression]]]]:
    shards = await feed.last_impressions()
    return {shard: await feed.read_impressions(shard, after=0, limit=100) for shard in shards}


async def test_every_field_of_an_impression_comes_back(feed: Feed) -> None:
    full = impression(1, model_version="v1", variant="calm:buried", propensities=[1.0, 0.25])
    await feed.show([full], [])
    assert [found for one in (await batches(feed)).values() for found in one] == [(1, [full])]
    assert [getattr(full, name) is None for name in full.__struct_fields__].count(True) == 1


async def test_batches_are_numbered_in_their_shard_and_read_in_steps(feed: Feed) -> None:
    for number in range(5):
        await feed.show([impression(number), impression(number, None)], [])
    anns = shard_of("m:ann", feed.shards)
    assert (await feed.last_impressions())[anns] == 5
    first = await feed.read_impressions(anns, after=0, limit=2)
    rest = await feed.read_impressions(anns, after=2, limit=9)
    assert [number for number, _ in [*first, *rest]] == [1, 2, 3, 4, 5]
    whose = {one.subject for found in (await batches(feed)).values() for _, b in found for one in b}
    assert whose == {"m:ann", "v:vic"}


async def test_numbers_go_on_after_what_is_forgotten(feed: Feed, store: tuple[str, int]) -> None:
    shard = shard_of("m:ann", feed.shards)
    for number in range(3):
        await feed.show([impression(number)], [])
    await feed.forget_impressions(shard, 2)
    await feed.forget_impressions(shard, 2)
    assert [n for n, _ in await feed.read_impressions(shard, after=0, limit=9)] == [3]
    await feed.forget_impressions(shard, 3)
    assert await feed.read_impressions(shard, after=0, limit=9) == []
    again = await open_feed(store[0], shards=store[1])
    await again.show([impression(9)], [])
    assert (await feed.last_impressions())[shard] == 4
    assert [n for n, _ in await feed.read_impressions(shard, after=3, limit=9)] == [4]
    await again.close()


async def test_showings_are_counted_until_something_is_done_with_the_product(feed: Feed) -> None:
    assert await shown(feed) == {}
    await feed.show([], [showing(0, "p1", "p2")])
    await feed.show([], [showing(9, "p1"), showing(0, "p1", subject="m:bob")])
    assert await shown(feed) == {"p1": (9, 2), "p2": (0, 1)}
    await feed.show([], [act(5, "p1", "p2", "never shown")])
    assert await shown(feed) == {"p1": (9, 1)}, "one came after it"
    await feed.show([], [act(9, "p1")])
    assert await shown(feed) == {}
    assert await shown(feed, "m:bob") == {"p1": (0, 1)}


async def test_after_a_long_pause_the_count_begins_anew(feed: Feed) -> None:
    await feed.show([], [showing(at, "p", row=10) for at in (0, 10, 20)])
    assert await shown(feed) == {"p": (20, 3)}
    await feed.show([], [showing(31, "p", row=10)])
    assert await shown(feed) == {"p": (31, 1)}
    await feed.show([], [showing(25, "p", row=10)])  # of a worker that was late
    assert await shown(feed) == {"p": (31, 2)}


async def test_it_is_brought_along_with_the_events_where_it_is_asked_for(feed: Feed) -> None:
    await feed.show([], [showing(0, "p1", subject="v:vic")])
    asked = await feed.recent("v:vic", after={}, limit=3, shown=True)
    assert (asked.events, dict(asked.shown)) == ([], {"p1": NOW * 16 + 1})
    assert (await feed.recent("v:vic", after={}, limit=3)).shown == {}


async def test_what_is_kept_of_a_subject_is_bounded(feed: Feed) -> None:
    many = [f"p{n:03}" for n in range(KEPT_PRODUCTS)]
    await feed.show([], [showing(at, *many) for at in range(MOST_SHOWINGS + 2)])
    assert await shown(feed) == dict.fromkeys(many, (MOST_SHOWINGS + 1, MOST_SHOWINGS))
    await feed.show([], [showing(99, "new", "p099")])
    kept = await shown(feed)
    assert len(kept) == KEPT_PRODUCTS
    assert "p000" not in kept, "of equals the first by name"
    assert kept["new"] == (99, 1)


async def test_idle_subjects_are_forgotten(feed: Feed, request: pytest.FixtureRequest) -> None:
    if request.node.callspec.params["store"] != "sqlite":
        server: RedisServer = request.getfixturevalue("redis_server")
        await feed.show([], [showing(0, "p1")])
        with server.client() as client:
            (key,) = client.keys("*:shown:*")
            assert (KEPT_DAYS - 1) * 86_400 < client.ttl(key) <= KEPT_DAYS * 86_400
        return
    for number in range(3):
        await feed.show([], [showing(number, "p1", subject=f"m:{number}")])
    await feed.trim(0, 0, now=(NOW + 1 + KEPT_DAYS * 1_440) * 60_000_000)
    found = [await shown(feed, f"m:{n}") for n in range(3)]
    assert found == [{}, {"p1": (1, 1)}, {"p1": (2, 1)}]


async def test_workers_write_at_once_and_none_is_lost(store: tuple[str, int]) -> None:
    feeds = [await open_feed(store[0], shards=store[1]) for _ in range(3)]
    await asyncio.gather(
        *(one.show([impression(n)], [showing(0, f"p{n}")]) for n, one in enumerate(feeds * 7))
    )
    assert set(await shown(feeds[0])) == {f"p{n}" for n in range(21)}
    found = [one for of in (await batches(feeds[1])).values() for _, batch in of for one in batch]
    assert sorted(one.request_id for one in found) == sorted(f"r{n}" for n in range(21))
    for one in feeds:
        await one.close()


notices = st.lists(
    st.builds(
        Notice,
        st.sampled_from(["m:a", "v:a"]),
        st.integers(NOW, NOW + 6),
        st.lists(st.sampled_from(["p", "q", "1", "产", ""]), max_size=4),
        st.none() | st.integers(0, 4),
    ),
    max_size=8,
)


@pytest.mark.redis
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(calls=st.lists(notices, max_size=5))
def test_both_stores_count_alike(
    *,
    redis_server: RedisServer,
    tmp_path_factory: pytest.TempPathFactory,
    calls: list[list[Notice]],
) -> None:
    folder = tmp_path_factory.mktemp("alike")
    with redis_server.client() as client:
        client.flushall()

    async def counted(url: str) -> list[dict[str, tuple[int, int]]]:
        feed = await open_feed(url)
        for call in calls:
            await feed.show([], call)
        found = [await shown(feed, subject) for subject in ("m:a", "v:a")]
        await feed.close()
        return found

    of_file = asyncio.run(counted(str(folder / "feed.db")))
    assert asyncio.run(counted(redis_server.url)) == of_file == plainly(calls)


def plainly(calls: list[list[Notice]]) -> list[dict[str, tuple[int, int]]]:
    """By the definition, one product at a time."""
    found: list[dict[str, tuple[int, int]]] = []
    for subject in ("m:a", "v:a"):
        kept: dict[str, tuple[int, int]] = {}
        for notice in (one for call in calls for one in call if one.subject == subject):
            at = notice.minute - NOW
            for product in notice.product_ids:
                last, count = kept.pop(product, (-(10**6), 0))
                if notice.row is not None:
                    goes_on = at - last <= notice.row
                    kept[product] = (max(at, last), min(count + 1, MOST_SHOWINGS) if goes_on else 1)
                elif last > at:
                    kept[product] = (last, 1)
        found.append(kept)
    return found


async def test_a_notice_that_comes_after_the_erasure_counts_for_nothing(feed: Feed) -> None:
    await feed.show([], [showing(0, "p1")])
    await feed.erase("ann", event_id="erasure", until=NOW, now=NOW * 60_000_000)
    await feed.show([], [showing(1, "p1"), showing(1, "p1", subject="m:bob")])
    assert await shown(feed) == {}
    assert await shown(feed, "m:bob") == {"p1": (1, 1)}
