"""One contract, held by every feed on its real store."""

import asyncio
import json
import random
import signal
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pytest

from recsys.errors import FeedError
from serving.feed import open_feed
from serving.feed.contract import (
    KEPT_RECENT,
    REMEMBERED_US,
    Appended,
    Event,
    Feed,
    Range,
    shard_of,
    subject,
)
from serving.feed.news import ProductChange, ProductNews
from tests.redis_server import RedisServer
from tests.serving.stores import Store

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
NOW = 1_800_000_000_000_000


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def view(event_id: str, member: str = "ann", **more: object) -> Event:
    given = {"product_id": "p1", "member_id": member, **more}
    return Event(event_id, "view", NOW, **given)  # type: ignore[arg-type]


async def log(feed: Feed) -> dict[int, list[tuple[int, Event]]]:
    last = await feed.last_sequences()
    return {shard: await feed.read(shard, 1, stop) for shard, stop in last.items()}


async def ids(feed: Feed) -> list[str]:
    return [event.event_id for events in (await log(feed)).values() for _, event in events]


async def drained(feed: Feed, shard: int = 0) -> None:
    while fixed := await feed.fix_range(shard, limit=1000):
        await feed.confirm(fixed)


async def test_events_are_numbered_from_one_in_the_order_they_came(feed: Feed) -> None:
    events = [view(f"e{n}") for n in range(7)]
    await feed.append(events[:3], now=NOW)
    await feed.append(events[3:], now=NOW)
    shard = shard_of("m:ann", feed.shards)
    assert (await log(feed))[shard] == list(enumerate(events, 1))
    assert await feed.read(shard, 3, 5) == [(3, events[2]), (4, events[3]), (5, events[4])]
    assert sum((await feed.last_sequences()).values()) == 7


async def test_every_field_comes_back(feed: Feed) -> None:
    full = Event(
        "e", "purchase", NOW, "产品", "m", "v", "o", 2.5, -1.25, "q\x00 ü", "s", "home", "r"
    )
    assert None not in [getattr(full, field.name) for field in fields(Event)]
    await feed.append([full], now=NOW)
    shard = shard_of("m:m", feed.shards)
    assert await feed.read(shard, 1, 1) == [(1, full)]
    (recent,) = (await feed.recent("m:m", after={}, limit=9)).events
    for name in recent.__struct_fields__:
        assert getattr(recent, name) == getattr(full, name)


async def test_a_known_id_is_a_duplicate_whatever_else_differs(feed: Feed) -> None:
    first = view("e1")
    changed = replace(first, kind="purchase", product_id="p2", occurred_at=NOW + 5)
    assert await feed.append([first, changed, view("e2")], now=NOW) == Appended(2, 1)
    assert await feed.append([changed, view("e3")], now=NOW + 9) == Appended(1, 1)
    assert await ids(feed) == ["e1", "e2", "e3"]
    recent = await feed.recent("m:ann", after={}, limit=9)
    assert [event.kind for event in recent.events] == ["view"] * 3


async def test_with_one_shard_an_id_is_known_under_any_member(feed: Feed) -> None:
    await feed.append([view("e1", "ann")], now=NOW)
    again = await feed.append([view("e1", "bob")], now=NOW)
    if feed.shards == 1:
        assert again == Appended(0, 1)
        assert (await feed.recent("m:bob", after={}, limit=9)).events == []


async def test_nothing_appended_is_nothing(feed: Feed) -> None:
    assert await feed.append([], now=NOW) == Appended(0, 0)
    assert await ids(feed) == []


async def test_recent_is_the_subjects_own_newest_last_after_a_number(feed: Feed) -> None:
    for n in range(6):
        await feed.append([view(f"a{n}", "ann", product_id=f"p{n}"), view(f"b{n}", "bob")], now=NOW)
    shard = shard_of("m:ann", feed.shards)
    anns = [(seq, event) for seq, event in (await log(feed))[shard] if event.member_id == "ann"]
    numbers = {event.product_id: seq for seq, event in anns}

    async def products(after: int, limit: int) -> list[str | None]:
        found = await feed.recent("m:ann", after={shard: after}, limit=limit)
        return [event.product_id for event in found.events]

    assert await products(0, 99) == ["p0", "p1", "p2", "p3", "p4", "p5"]
    assert await products(0, 2) == ["p4", "p5"]
    assert await products(numbers["p3"], 99) == ["p4", "p5"]
    assert await products(numbers["p3"], 1) == ["p5"]
    assert await products(numbers["p5"], 99) == []
    assert await products(0, 0) == []


async def test_a_member_counts_before_a_visitor_and_nobodys_event_is_kept(feed: Feed) -> None:
    both, visitor = view("e1", visitor_id="v"), Event("e2", "view", NOW, visitor_id="v")
    nobody = Event("e3", "view", NOW, product_id="p")
    assert [subject(event) for event in (both, visitor, nobody)] == ["m:ann", "v:v", None]
    assert await feed.append([both, visitor, nobody], now=NOW) == Appended(3, 0)
    assert len((await feed.recent("m:ann", after={}, limit=9)).events) == 1
    assert len((await feed.recent("v:v", after={}, limit=9)).events) == 1
    assert sorted(await ids(feed)) == ["e1", "e2", "e3"]


async def test_recent_reaches_back_a_fixed_length(feed: Feed) -> None:
    events = [view(f"e{n}", product_id=str(n)) for n in range(KEPT_RECENT + 5)]
    await feed.append(events, now=NOW)
    recent = (await feed.recent("m:ann", after={}, limit=10 * KEPT_RECENT)).events
    assert [event.product_id for event in recent] == [str(n) for n in range(5, KEPT_RECENT + 5)]


async def test_many_at_once_store_each_event_once(feed: Feed) -> None:
    batches = [[view(f"e{n}", f"m{n % 5}") for n in range(k, k + 4)] for k in range(150)]
    appended = await asyncio.gather(*(feed.append(batch, now=NOW) for batch in batches))
    assert sum(one.new for one in appended) == 153
    assert sorted(await ids(feed)) == sorted(f"e{n}" for n in range(153))
    for events in (await log(feed)).values():
        assert [seq for seq, _ in events] == list(range(1, len(events) + 1))


async def test_a_sender_that_leaves_does_not_take_the_others_along(feed: Feed) -> None:
    senders = [asyncio.create_task(feed.append([view(f"e{n}")], now=NOW)) for n in range(20)]
    await asyncio.sleep(0)
    for gone in senders[::3]:
        gone.cancel()
    outcomes = await asyncio.gather(*senders, return_exceptions=True)
    stayed = {f"e{n}" for n, outcome in enumerate(outcomes) if outcome == Appended(1, 0)}
    assert len(stayed) == 13
    assert stayed <= set(await ids(feed))


async def test_a_fixed_range_stays_until_it_is_confirmed(store: Store) -> None:
    feed = await store.open()
    shard = shard_of("m:ann", feed.shards)
    assert await feed.fix_range(shard, limit=3) is None
    await feed.append([view(f"e{n}") for n in range(5)], now=NOW)
    first = await feed.fix_range(shard, limit=3)
    assert first == Range(shard, 1, 3)
    await feed.append([view("later")], now=NOW)
    await feed.close()
    feed = await store.open()
    assert await feed.fix_range(shard, limit=99) == first
    await feed.confirm(first)
    await feed.confirm(first)
    await feed.close()
    feed = await store.open()
    assert await feed.fix_range(shard, limit=99) == Range(shard, 4, 6)
    await feed.confirm(Range(shard, 4, 6))
    assert await feed.fix_range(shard, limit=99) is None
    assert len(await ids(feed)) == 6
    await feed.close()


async def test_only_the_fixed_range_can_be_confirmed(feed: Feed) -> None:
    shard = shard_of("m:ann", feed.shards)
    await feed.append([view(f"e{n}") for n in range(5)], now=NOW)
    with pytest.raises(ValueError, match="not fixed"):
        await feed.confirm(Range(shard, 1, 5))
    fixed = await feed.fix_range(shard, limit=3)
    for other in (Range(shard, 1, 5), Range(shard, 2, 4)):
        with pytest.raises(ValueError, match="not fixed"):
            await feed.confirm(other)
    assert await feed.fix_range(shard, limit=3) == fixed


async def test_trimming_needs_a_drain_first(feed: Feed) -> None:
    await feed.append([view("e1")], now=NOW)
    with pytest.raises(FeedError, match="drain first"):
        await feed.trim(shard_of("m:ann", feed.shards), 1, now=NOW)
    assert await ids(feed) == ["e1"]


async def test_trimmed_events_are_gone_and_numbers_go_on(store: Store) -> None:
    feed = await store.open()
    shard = shard_of("m:ann", feed.shards)
    events = [view(f"e{n}", product_id=str(n)) for n in range(1300)]
    await feed.append(events, now=NOW)
    await drained(feed, shard)
    await feed.trim(shard, 1298, now=NOW)
    await feed.trim(shard, 5, now=NOW)
    assert await ids(feed) == ["e1298", "e1299"]
    recent = await feed.recent("m:ann", after={}, limit=9)
    assert [event.product_id for event in recent.events] == ["1298", "1299"]
    await feed.trim(shard, 1300, now=NOW)
    await feed.close()
    feed = await store.open()
    assert (await feed.last_sequences())[shard] == 1300
    assert (await feed.recent("m:ann", after={}, limit=9)).events == []
    await feed.append([view("next")], now=NOW)
    assert [seq for seq, _ in await feed.read(shard, 1, 2000)] == [1301]
    await feed.close()


async def test_a_trimmed_id_is_known_for_its_span_and_then_forgotten(feed: Feed) -> None:
    shard = shard_of("m:ann", feed.shards)
    await feed.append([view("e1")], now=NOW)
    await drained(feed, shard)
    await feed.trim(shard, 1, now=NOW + REMEMBERED_US)
    assert await feed.append([view("e1")], now=NOW + REMEMBERED_US) == Appended(0, 1)
    await feed.trim(shard, 1, now=NOW + REMEMBERED_US + 1)
    assert await feed.append([view("e1")], now=NOW + REMEMBERED_US + 1) == Appended(1, 0)


async def test_an_id_in_the_feed_is_never_forgotten(feed: Feed) -> None:
    shard = shard_of("m:ann", feed.shards)
    await feed.append([view("e1")], now=NOW + 9)
    await feed.append([view("e2")], now=NOW)
    await drained(feed, shard)
    late = NOW + 9 * REMEMBERED_US
    await feed.trim(shard, 1, now=late)
    assert await feed.append([view("e2")], now=late) == Appended(0, 1)


SENDER = """
import asyncio, json, sys
from serving.feed import open_feed
from serving.feed.contract import Event

async def main(url, shards, name, shared):
    feed = await open_feed(url, shards=int(shards))
    print("ready", flush=True)
    sys.stdin.readline()
    for n in range(int(shared)):
        batch = [Event(f"shared{n}", "view", n, "p", f"m{n % 7}"),
                 Event(f"{name}-{n}", "view", n, "p", f"m{n % 5}")]
        appended = await feed.append(batch, now=n)
        print(json.dumps([[event.event_id for event in batch], appended.new]), flush=True)
    await feed.close()

asyncio.run(main(*sys.argv[1:]))
"""


def sender(store: Store, name: str, batches: int) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SENDER, store.url, str(store.shards), name, str(batches)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True)


def go(senders: list[subprocess.Popen[str]]) -> None:
    for process in senders:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in senders:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


async def test_several_processes_store_each_event_once(store: Store) -> None:
    senders = [sender(store, name, 60) for name in "abc"]
    go(senders)
    lines = [line for process in senders for line in process.communicate()[0].splitlines()]
    assert [process.returncode for process in senders] == [0, 0, 0]
    feed = await store.open()
    expected = {f"shared{n}" for n in range(60)} | {f"{s}-{n}" for s in "abc" for n in range(60)}
    assert sorted(await ids(feed)) == sorted(expected)
    assert sum(json.loads(line)[1] for line in lines) == len(expected)
    for events in (await log(feed)).values():
        assert [seq for seq, _ in events] == list(range(1, len(events) + 1))
    await feed.close()


async def test_what_was_answered_survives_the_kill_of_its_writer(store: Store) -> None:
    process = sender(store, "a", 100_000)
    go([process])
    assert process.stdout is not None
    answered = [process.stdout.readline() for _ in range(random.randint(1, 60))]
    process.send_signal(signal.SIGKILL)
    answered += process.communicate()[0].splitlines()
    acknowledged = [one for line in answered if line.strip() for one in json.loads(line)[0]]
    feed = await store.open()
    stored = await ids(feed)
    assert len(stored) == len(set(stored))
    assert set(acknowledged) <= set(stored)
    assert len(stored) - len(acknowledged) <= 2, "one batch at most was stored and not answered"
    again = [Event(one, "view", 0, "p", f"m{int(one[6:]) % 7}") for one in stored if one[0] == "s"]
    assert await feed.append(again, now=NOW) == Appended(0, len(again))
    await feed.close()


@pytest.mark.redis
async def test_what_was_answered_survives_the_kill_of_redis(tmp_path: Path) -> None:
    server = RedisServer(tmp_path)
    server.start()
    feed = await open_feed(server.url)
    answered: list[str] = []

    async def send(name: str) -> None:
        for n in range(100_000):
            await feed.append([view(f"{name}{n}")], now=NOW)
            answered.append(f"{name}{n}")

    senders = [asyncio.create_task(send(name)) for name in "abcd"]
    while len(answered) < 100:
        await asyncio.sleep(0.005)
    await asyncio.to_thread(server.kill)
    outcomes = await asyncio.gather(*senders, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [FeedError] * 4
    await asyncio.to_thread(server.start)
    # The same feed goes on: its old connections and the loaded scripts are gone.
    stored = await ids(feed)
    assert set(answered) <= set(stored)
    assert len(stored) == len(set(stored)) == (await feed.last_sequences())[0]
    assert await feed.append([view(stored[0]), view("new")], now=NOW) == Appended(1, 1)
    await feed.close()
    server.kill()


@pytest.mark.parametrize("url", ["mysql://localhost/x", "http://localhost"])
async def test_an_address_of_an_unknown_kind_is_refused(url: str) -> None:
    with pytest.raises(FeedError, match=r"redis://HOST:PORT/DB"):
        await open_feed(url)


async def test_news_hold_until_something_else_is_said(feed: Feed) -> None:
    assert await feed.told(after=0) == (0, [])
    await feed.tell([])
    await feed.tell(
        [
            ProductChange("p1", {"in_stock": False}),
            ProductChange("产品", {"price": 2.5, "in_stock": True}),
        ]
    )
    first, said = await feed.told(after=0)
    assert said == [ProductNews("p1", False), ProductNews("产品", True, 2.5)]
    assert await feed.told(after=first) == (first, [])
    await feed.tell([ProductChange("p1", {"price": 3}), ProductChange("p2", {"price": 1.25})])
    await feed.tell([ProductChange("p1", {"in_stock": None})])
    last, later = await feed.told(after=first)
    assert last > first
    assert sorted(later, key=lambda one: one.product_id) == [
        ProductNews("p1", None, 3),
        ProductNews("p2", None, 1.25),
    ]
    assert len((await feed.told(after=0))[1]) == 3


async def test_news_are_seen_by_others_and_survive_a_restart(store: Store, feed: Feed) -> None:
    other = await store.open()
    await other.tell([ProductChange("p1", {"in_stock": False})])
    await other.close()
    assert (await feed.told(after=0))[1] == [ProductNews("p1", False)]
    again = await store.open()
    assert (await again.told(after=0))[1] == [ProductNews("p1", False)]
    await again.close()


async def test_news_of_many_tellers_all_arrive(feed: Feed) -> None:
    changes = [ProductChange(f"p{n}", {"price": float(n)}) for n in range(60)]
    await asyncio.gather(*(feed.tell([change]) for change in changes))
    _, said = await feed.told(after=0)
    assert {one.product_id: one.price for one in said} == {f"p{n}": float(n) for n in range(60)}
