"""Any sequence of steps, on the feed and on a plain dict."""

import asyncio
from collections.abc import Callable
from itertools import count
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from serving.feed import open_feed
from serving.feed.contract import REMEMBERED_US, Appended, Event, Range, shard_of, subject
from tests.redis_server import RedisServer

EVENTS = st.builds(
    Event,
    event_id=st.sampled_from([f"e{n}" for n in range(30)]),
    kind=st.sampled_from(["view", "purchase"]),
    occurred_at=st.integers(0, 2**53),
    product_id=st.none() | st.text(max_size=3),
    member_id=st.sampled_from([None, "a", "b", "c"]),
    visitor_id=st.sampled_from([None, "a"]),
    quantity=st.none() | st.floats(allow_nan=False),
)
SUBJECTS = ("m:a", "m:b", "m:c", "v:a", "m:nobody")


class Shard:
    """What a shard must hold."""

    def __init__(self) -> None:
        self.events: list[Event] = []  # number n is at n - 1
        self.known: dict[str, int] = {}  # id → accepted at
        self.drained = self.trimmed = 0
        self.fixed: int | None = None


class Machine(RuleBasedStateMachine):
    """`fresh` gives the address of an empty store."""

    fresh: Callable[[], str]
    shards: int

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.run = self.runner.run
        self.url = self.fresh()
        self.feed = self.run(open_feed(self.url, shards=self.shards))
        self.model = [Shard() for _ in range(self.shards)]
        self.now = 1_800_000_000_000_000

    def teardown(self) -> None:
        self.run(self.feed.close())
        self.runner.close()

    @rule(events=st.lists(EVENTS, max_size=6))
    def append(self, events: list[Event]) -> None:
        # From when on a trimmed id is new again is the store's choice, so it is not asked.
        events = [event for event in events if not self.forgettable(event)]
        new = 0
        for event in events:
            shard = self.shard(event)
            if event.event_id not in shard.known:
                shard.known[event.event_id] = self.now
                shard.events.append(event)
                new += 1
        found = self.run(self.feed.append(events, now=self.now))
        assert found == Appended(new, len(events) - new)

    @rule()
    def reopen(self) -> None:
        self.run(self.feed.close())
        self.feed = self.run(open_feed(self.url, shards=self.shards))

    @rule(days=st.integers(1, 5))
    def wait(self, days: int) -> None:
        self.now += days * REMEMBERED_US // 7

    @rule(number=st.integers(0, 3), limit=st.integers(1, 5))
    def fix(self, number: int, limit: int) -> None:
        number %= self.shards
        shard = self.model[number]
        if shard.fixed is None and shard.drained < len(shard.events):
            shard.fixed = min(len(shard.events), shard.drained + limit)
        expected = None if shard.fixed is None else Range(number, shard.drained + 1, shard.fixed)
        assert self.run(self.feed.fix_range(number, limit=limit)) == expected

    @precondition(lambda self: any(shard.fixed for shard in self.model))
    @rule()
    def confirm(self) -> None:
        for number, shard in enumerate(self.model):
            if shard.fixed is not None:
                self.run(self.feed.confirm(Range(number, shard.drained + 1, shard.fixed)))
                shard.drained, shard.fixed = shard.fixed, None

    @precondition(lambda self: any(shard.drained for shard in self.model))
    @rule(share=st.floats(0, 1))
    def trim(self, share: float) -> None:
        for number, shard in enumerate(self.model):
            up_to = round(share * shard.drained)
            self.run(self.feed.trim(number, up_to, now=self.now))
            shard.trimmed = max(shard.trimmed, up_to)

    @invariant()
    def the_log_is_the_same(self) -> None:
        last = {number: len(shard.events) for number, shard in enumerate(self.model)}
        assert self.run(self.feed.last_sequences()) == last
        for number, shard in enumerate(self.model):
            kept = list(enumerate(shard.events, 1))[shard.trimmed :]
            assert self.run(self.feed.read(number, 1, last[number] + 1)) == kept

    @invariant()
    def the_recents_are_the_same(self) -> None:
        for whose in SUBJECTS:
            number = shard_of(whose, self.shards)
            shard = self.model[number]
            for after in (0, shard.trimmed, len(shard.events) // 2):
                expected = [
                    (event.kind, event.product_id, event.occurred_at, event.quantity)
                    for seq, event in enumerate(shard.events, 1)
                    if subject(event) == whose and seq > max(after, shard.trimmed)
                ][-4:]
                found = self.run(self.feed.recent(whose, after={number: after}, limit=4)).events
                assert expected == [
                    (event.kind, event.product_id, event.occurred_at, event.quantity)
                    for event in found
                ]

    def shard(self, event: Event) -> Shard:
        return self.model[shard_of(subject(event) or event.event_id, self.shards)]

    def forgettable(self, event: Event) -> bool:
        shard = self.shard(event)
        trimmed = {event.event_id for event in shard.events[: shard.trimmed]}
        accepted = shard.known.get(event.event_id, self.now)
        return event.event_id in trimmed and accepted < self.now - REMEMBERED_US


def walk(fresh: Callable[[], str], *, shards: int, examples: int) -> None:
    machine = type("Walk", (Machine,), {"fresh": staticmethod(fresh), "shards": shards})
    steps = settings(max_examples=examples, stateful_step_count=25, deadline=None)
    run_state_machine_as_test(machine, settings=steps)


def test_sqlite_does_what_a_dict_does(tmp_path: Path) -> None:
    numbers = count()
    walk(lambda: f"{tmp_path}/{next(numbers)}.db", shards=1, examples=20)


@pytest.mark.redis
@pytest.mark.parametrize("shards", [1, 3])
def test_redis_does_what_a_dict_does(redis_server: RedisServer, shards: int) -> None:
    def fresh() -> str:
        with redis_server.client() as client:
            client.flushall()
        return redis_server.url

    walk(fresh, shards=shards, examples=10)
