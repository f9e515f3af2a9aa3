"""A visitor turns out to be a member, and a member is erased: one contract, held by every feed."""

import random
import signal
import subprocess
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest

from recsys.dataset import TABLES
from recsys.identities import identified
from serving.feed.contract import Event, Feed, shard_of
from serving.feed.marks import REACH
from tests.serving.stores import Store

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
NOW = 1_800_000_000_000_000


def event(number: int, *, member: str | None = None, visitor: str | None = None) -> Event:
    """Its product tells it apart; it happened `number` microseconds from now."""
    product = f"p{number}"
    return Event(f"e{number}", "view", NOW + number, product, member, visitor)


async def login(feed: Feed, visitor: str, member: str, at: int) -> bool:
    event_id = f"login-{visitor}-{member}-{at}"
    return await feed.identify(visitor, member, event_id=event_id, now=NOW + at)


async def erase(feed: Feed, member: str, at: int) -> None:
    instant = NOW + at
    await feed.erase(member, event_id=f"erase-{member}-{at}", until=instant, now=instant)


async def numbers(
    feed: Feed, subject: str, *, after: dict[int, int] | None = None, limit: int = 30
) -> list[int]:
    found = await feed.recent(subject, after=after or {}, limit=limit)
    return [int(str(one.product_id)[1:]) for one in found.events]


async def in_model(feed: Feed) -> dict[int, int]:
    """Drain, and train a model on it."""
    last = await feed.last_sequences()
    for shard in last:
        while fixed := await feed.fix_range(shard, limit=1000):
            await feed.confirm(fixed)
    return dict(last)


async def test_a_visitors_events_become_the_members_before_and_after(feed: Feed) -> None:
    await feed.append([event(1, visitor="v"), event(2, member="ann")], now=NOW)
    assert await numbers(feed, "m:ann") == [2]
    assert await login(feed, "v", "ann", 3)
    assert await numbers(feed, "m:ann") == [1, 2]
    await feed.append([event(4, member="ann", visitor="v"), event(5, visitor="v")], now=NOW)
    await feed.append([event(6, member="ann")], now=NOW)
    assert await numbers(feed, "m:ann") == [1, 2, 4, 5, 6]
    assert await numbers(feed, "m:ann", limit=2) == [5, 6]
    assert await numbers(feed, "m:ann", limit=200) == [1, 2, 4, 5, 6]
    assert await numbers(feed, "m:ann", limit=0) == []
    assert await numbers(feed, "v:v") == [1, 5], "who still asks as the visitor keeps the session"
    assert await numbers(feed, "m:bob") == []


async def test_the_same_again_is_no_new_entry(feed: Feed) -> None:
    assert await login(feed, "v", "ann", 1)
    before = await feed.last_sequences()
    assert not await login(feed, "v", "ann", 2)
    assert await feed.last_sequences() == before
    assert sum(before.values()) == 1


async def test_an_identification_is_a_numbered_entry_of_the_visitors_shard(feed: Feed) -> None:
    await feed.append([event(1, visitor="v")], now=NOW)
    await login(feed, "v", "ann", 2)
    await feed.append([event(3, visitor="v")], now=NOW)
    found = await feed.read(shard_of("v:v", feed.shards), 1, 9)
    assert [(seq, one.kind) for seq, one in found] == [(1, "view"), (2, "identify"), (3, "view")]
    entry = found[1][1]
    assert (entry.visitor_id, entry.member_id, entry.occurred_at) == ("v", "ann", NOW + 2)


async def test_on_a_shared_machine_later_events_are_the_latest_members(feed: Feed) -> None:
    await feed.append([event(1, visitor="v")], now=NOW)
    await login(feed, "v", "ann", 2)
    await feed.append([event(3, visitor="v")], now=NOW)
    await login(feed, "v", "bob", 4)
    await feed.append([event(5, visitor="v")], now=NOW)
    assert await numbers(feed, "m:ann") == [1, 3]
    assert await numbers(feed, "m:bob") == [5]
    await login(feed, "v", "ann", 6)
    await feed.append([event(7, visitor="v")], now=NOW)
    assert await numbers(feed, "m:ann") == [1, 3, 7]
    assert await numbers(feed, "m:bob") == [5]


async def test_a_member_has_several_browsers(feed: Feed) -> None:
    visitors = [f"v{number}" for number in range(REACH + 2)]
    for number, visitor in enumerate(visitors):
        await feed.append([event(number, visitor=visitor)], now=NOW)
        await login(feed, visitor, "ann", 100 + number)
    assert await numbers(feed, "m:ann") == list(range(2, REACH + 2)), "the latest of them"
    await login(feed, "v5", "bob", 200)
    await login(feed, "v5", "ann", 201)
    assert await numbers(feed, "m:ann") == list(range(2, REACH + 2))


async def test_of_a_machine_shared_by_many_the_oldest_logins_are_nobodys(feed: Feed) -> None:
    for number in range(REACH + 2):
        await feed.append([event(2 * number, visitor="v")], now=NOW)
        await login(feed, "v", f"m{number}", 2 * number - 1)
    found = [await numbers(feed, f"m:m{number}") for number in range(REACH + 2)]
    assert found == [[]] * 3 + [[2 * number] for number in range(3, REACH + 2)]


async def test_what_a_model_contains_does_not_count_again(feed: Feed) -> None:
    await feed.append([event(1, visitor="v")], now=NOW)
    await login(feed, "v", "ann", 2)
    model = await in_model(feed)
    assert await numbers(feed, "m:ann", after=model) == []
    await feed.append([event(3, visitor="v")], now=NOW)
    assert await numbers(feed, "m:ann", after=model) == [3]


async def test_what_a_model_has_as_nobodys_counts_once_it_is_the_members(feed: Feed) -> None:
    await feed.append([event(1, visitor="v"), event(2, member="ann")], now=NOW)
    model = await in_model(feed)
    assert await numbers(feed, "m:ann", after=model) == []
    await login(feed, "v", "ann", 3)
    assert await numbers(feed, "m:ann", after=model) == [1]
    assert await numbers(feed, "v:v", after=model) == []


async def test_a_trim_leaves_who_a_visitor_is(store: Store) -> None:
    feed = await store.open()
    await feed.append([event(1, visitor="v"), event(2, member="ann")], now=NOW)
    await login(feed, "v", "ann", 3)
    for shard, last in (await in_model(feed)).items():
        await feed.trim(shard, last, now=NOW)
    assert await numbers(feed, "m:ann") == []
    await feed.append([event(4, visitor="v")], now=NOW)
    await feed.close()
    feed = await store.open()
    assert not await login(feed, "v", "ann", 5)
    assert await numbers(feed, "m:ann") == [4]
    await feed.close()


async def test_other_processes_see_it_at_once(store: Store) -> None:
    one, other = await store.open(), await store.open()
    await one.append([event(1, visitor="v")], now=NOW)
    assert (await numbers(other, "m:ann"), await numbers(other, "v:v")) == ([], [1])
    await login(one, "v", "ann", 2)
    assert await numbers(other, "m:ann") == [1]
    await one.append([event(3, visitor="v")], now=NOW)
    assert await numbers(other, "m:ann") == [1, 3]
    await login(one, "v", "bob", 4)
    await one.append([event(5, visitor="v")], now=NOW)
    assert await numbers(other, "m:ann") == [1, 3]
    await erase(one, "ann", 6)
    assert await numbers(other, "m:ann") == []
    assert (await other.recent("m:ann", after={}, limit=9)).hidden
    await one.close()
    await other.close()


WRITER = """
import asyncio, sys
from serving.feed import open_feed
from serving.feed.contract import Event

async def main(url, shards):
    feed = await open_feed(url, shards=int(shards))
    for n in range(100_000):
        await feed.append([Event(f"e{n}", "view", n, f"p{n}", visitor_id=f"v{n}")], now=n)
        await feed.identify(f"v{n}", f"m{n}", event_id=f"i{n}", now=n)
        if n % 3 == 0:
            await feed.erase(f"m{n}", event_id=f"x{n}", until=n, now=n)
        print(n, flush=True)

asyncio.run(main(*sys.argv[1:]))
"""


async def test_what_was_answered_survives_the_kill_of_its_writer(store: Store) -> None:
    command = [sys.executable, "-c", WRITER, store.url, str(store.shards)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        answered = [process.stdout.readline() for _ in range(random.randint(3, 40))]
        process.send_signal(signal.SIGKILL)
        answered += process.stdout.read().splitlines()
    feed = await store.open()
    erased = await feed.erased()
    for n in (int(line) for line in answered if line.strip()):
        assert (f"m{n}" in erased) is (n % 3 == 0)
        assert await numbers(feed, f"m:m{n}") == ([n] if n % 3 else [])
    entries = [one for shard in range(feed.shards) for one in await feed.read(shard, 1, 10_000)]
    assert len({one.event_id for _, one in entries}) == len(entries)
    await feed.close()


@dataclass(frozen=True)
class Step:
    """A visitor's event, or a login."""

    visitor: str
    member: str | None = None


async def test_serving_and_training_agree_whose_an_event_is(feed: Feed) -> None:
    chance = random.Random(7)
    for run in range(20):
        names = [f"{run}-{name}" for name in "xyz"]
        steps = [
            Step(
                chance.choice(names),
                f"{run}-{chance.choice('ab')}" if chance.random() < 0.3 else None,
            )
            for _ in range(14)
        ]
        await agree(feed, run, steps)


async def agree(feed: Feed, run: int, steps: Iterable[Step]) -> None:
    events, logins = [], []
    for number, step in enumerate(steps, 100 * run):
        if step.member is None:
            events.append(event(number, visitor=step.visitor))
            await feed.append([events[-1]], now=NOW)
        elif await login(feed, step.visitor, step.member, number):
            logins.append((step.visitor, step.member, NOW + number))
    columns = TABLES["events"].schema
    frame = pl.DataFrame(
        {name: [getattr(one, name) for one in events] for name in columns}, schema=columns
    )
    owned = identified(frame, pl.DataFrame(logins, TABLES["identities"].schema, orient="row"))
    for member in (f"{run}-a", f"{run}-b"):
        theirs = owned.filter(pl.col("member_id") == member)["product_id"].str.slice(1)
        assert await numbers(feed, f"m:{member}") == theirs.cast(pl.Int64).sort().to_list()


async def test_an_erased_member_is_hidden_from_models_that_know_it(feed: Feed) -> None:
    await feed.append([event(1, member="ann"), event(2, member="bob")], now=NOW)
    model = await in_model(feed)
    await erase(feed, "ann", 3)
    found = await feed.recent("m:ann", after=model, limit=9)
    assert (found.events, found.hidden) == ([], True)
    assert not (await feed.recent("m:bob", after=model, limit=9)).hidden
    last = await feed.last_sequences()
    shard = shard_of("m:ann", feed.shards)
    assert await feed.erased() == {"ann": (shard, last[shard])}
    entry = (await feed.read(shard, last[shard], last[shard]))[0][1]
    assert (entry.kind, entry.member_id, entry.occurred_at) == ("erase", "ann", NOW + 3)
    after_next_training = await in_model(feed)
    assert not (await feed.recent("m:ann", after=after_next_training, limit=9)).hidden


async def test_an_erased_members_sessions_are_forgotten_and_become_nobody_elses(
    feed: Feed,
) -> None:
    await feed.append([event(1, visitor="v"), event(2, member="ann")], now=NOW)
    await login(feed, "v", "ann", 3)
    await erase(feed, "ann", 4)
    assert await numbers(feed, "m:ann") == []
    assert await numbers(feed, "v:v") == []
    await feed.append([event(5, visitor="v")], now=NOW)
    assert await numbers(feed, "m:ann") == []
    await login(feed, "v", "bob", 6)
    await feed.append([event(7, visitor="v")], now=NOW)
    assert await numbers(feed, "m:bob") == [7]
    assert len([one for shard in range(feed.shards) for one in await feed.read(shard, 1, 99)]) == 7


async def test_who_comes_back_is_a_new_member(feed: Feed) -> None:
    await feed.append([event(1, member="ann")], now=NOW)
    model = await in_model(feed)
    await erase(feed, "ann", 2)
    await erase(feed, "ann", 3)
    await feed.append([event(4, visitor="v"), event(5, member="ann")], now=NOW)
    await login(feed, "v", "ann", 6)
    found = await feed.recent("m:ann", after=model, limit=9)
    assert ([one.product_id for one in found.events], found.hidden) == (["p4", "p5"], True)


async def test_an_erasure_is_remembered_until_every_kept_model_knows_it(store: Store) -> None:
    feed = await store.open()
    await feed.append([event(1, member="ann")], now=NOW)
    await erase(feed, "ann", 2)
    await login(feed, "v", "bob", 3)
    await erase(feed, "bob", 4)
    await login(feed, "w", "bob", 5)
    last = await in_model(feed)
    shard, number = (await feed.erased())["bob"]
    await feed.trim(shard, number - 1, now=NOW)
    await feed.close()
    feed = await store.open()
    assert "bob" in await feed.erased()
    assert (await feed.recent("m:bob", after={}, limit=9)).hidden
    for shard, stop in last.items():
        await feed.trim(shard, stop, now=NOW)
    assert await feed.erased() == {}
    assert not (await feed.recent("m:bob", after={}, limit=9)).hidden
    await feed.append([event(6, visitor="w")], now=NOW)
    assert await numbers(feed, "m:bob") == [6]
    await feed.close()
