"""No event that was answered with 200 is lost or doubled, whatever is killed in mid-load."""

import json
import random
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import polars as pl
import pytest

from recsys.dataset import Dataset
from tests.redis_server import RedisServer
from tests.serving.live import EVENTS, event
from tests.serving.served import (
    PATIENCE,
    ROOT,
    Served,
    environment,
    free_port,
    started,
    wait_until_ready,
)
from tests.small_shop import MEMBERS, PRODUCTS

pytestmark = pytest.mark.slow
CLIENTS = 4
GIVE_UP = 0.2
"""share of batches that are not sent again after a failure: nobody knows then what was stored"""
SEND_AGAIN = 0.05
"""share of answers that a client did not see, as it were"""

Batch = list[dict[str, Any]]


class Load:
    """Clients that send batches of events, each until it is answered with 200."""

    def __init__(self, port: int, seed: int) -> None:
        self.answered: set[str] = set()
        self.unknown: set[str] = set()
        self.seen: Counter[str] = Counter()
        self._url = f"http://127.0.0.1:{port}{EVENTS}"
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._send, args=(number, random.Random(seed + number)))
            for number in range(CLIENTS)
        ]

    @contextmanager
    def running(self) -> Iterator[None]:
        """At its end every client has the answer that it waits for."""
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(PATIENCE)
        assert not any(thread.is_alive() for thread in self._threads)

    def wait_for(self, more: int) -> None:
        """Until so many further events are answered."""
        wanted, deadline = len(self.answered) + more, time.monotonic() + PATIENCE
        while len(self.answered) < wanted:
            assert time.monotonic() < deadline, f"only {len(self.answered)} of {wanted} answered"
            time.sleep(0.001)

    def _send(self, number: int, rng: random.Random) -> None:
        sent = 0
        with httpx.Client(timeout=10) as client:
            while not self._stop.is_set():
                batch = [
                    {**event("view", rng.choice(PRODUCTS), member_id=rng.choice(MEMBERS)),
                     "event_id": f"{number}-{sent + at}"}
                    for at in range(rng.randint(1, 5))
                ]  # fmt: skip
                sent += len(batch)
                self._insist(client, batch, rng)

    def _insist(self, client: httpx.Client, batch: Batch, rng: random.Random) -> None:
        ids = {one["event_id"] for one in batch}
        gives_up = rng.random() < GIVE_UP
        while self._outcome(client, batch) != "200":
            if gives_up:
                self.seen["given up"] += 1
                self.unknown |= ids
                return
            time.sleep(0.2)
        self.answered |= ids
        if rng.random() < SEND_AGAIN:
            self.seen["sent again though answered"] += 1
            self._outcome(client, batch)

    def _outcome(self, client: httpx.Client, batch: Batch) -> str:
        try:
            answer = client.post(self._url, json={"events": batch})
            outcome = str(answer.status_code)
            if outcome == "200":
                stored = answer.json()
                assert stored["accepted"] + stored["duplicates"] == len(batch)
        except httpx.TransportError:
            outcome = "no answer"
        self.seen[outcome] += 1
        return outcome


class Drains:
    """One drain after the other into a dataset, most of them killed at their work."""

    def __init__(self, home: Path, seed: int, **settings: object) -> None:
        self.dataset = home / "dataset"
        self.seen: Counter[str] = Counter()
        self._environment = environment(home, **settings)
        self._rng = random.Random(seed)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._go_on)
        (self.dataset / "events").mkdir(parents=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join(PATIENCE)
        assert not self._thread.is_alive()

    def last(self) -> None:
        """One that nobody kills."""
        with self._drain() as draining:
            _, said = draining.communicate(timeout=PATIENCE)
            assert draining.returncode == 0, said

    def _drain(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "guesslike", "drain", str(self.dataset)], cwd=ROOT, text=True,
            env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        )  # fmt: skip

    def _go_on(self) -> None:
        while not self._stop.is_set():
            with self._drain() as draining:
                self._await_a_new_file(draining)
                time.sleep(self._rng.uniform(0, 0.005))
                if self._rng.random() < 0.8:
                    draining.kill()
                _, said = draining.communicate()
            # Redis may be away, which is said and ends with 2
            assert draining.returncode in (0, 2, -signal.SIGKILL), said
            self.seen[{0: "ended", 2: "refused"}.get(draining.returncode, "killed")] += 1

    def _await_a_new_file(self, draining: subprocess.Popen[str]) -> None:
        before = set((self.dataset / "events").iterdir())
        while draining.poll() is None and set((self.dataset / "events").iterdir()) == before:
            time.sleep(0.0005)


def check(load: Load, dataset: Path) -> int:
    """Each event once in the files, and in what everyone reads of them; returns their number."""
    parts = pl.read_parquet(dataset / "events" / "feed-*.parquet", columns=["event_id"])
    found = parts["event_id"].to_list()
    assert len(found) == len(set(found)), "doubled"
    assert load.answered - set(found) == set(), "lost"
    assert set(found) <= load.answered | load.unknown, "never sent"
    kept = Dataset(dataset)
    assert sorted(kept.read("events")["event_id"].to_list()) == sorted(found)
    assert kept.rejected == {"events": 0}
    return len(found)


KILLS = [pytest.param(2, id="few"), pytest.param(100, marks=pytest.mark.soak, id="many")]
VICTIMS = [
    pytest.param("service", "sqlite", id="service-on-sqlite"),
    pytest.param("service", "redis", id="service-on-redis", marks=pytest.mark.redis),
    pytest.param("redis", "redis", id="redis", marks=pytest.mark.redis),
]


@pytest.mark.parametrize("kills", KILLS)
@pytest.mark.parametrize(("victim", "store"), VICTIMS)
def test_what_was_answered_is_drained_once(
    *,
    small_model: Path, tmp_path: Path, victim: str, store: str, kills: int,
    measured: Callable[[str], None],
) -> None:  # fmt: skip
    seed = random.randrange(2**32)
    home = tmp_path / "home"
    home.mkdir()
    (home / "models").symlink_to(small_model / "models")
    redis = RedisServer(tmp_path) if store == "redis" else None
    settings = {"feed_url": redis.url} if redis else {}
    if redis:
        redis.start()
    port = free_port()
    service = started(home, port, **settings)
    load, drains = Load(port, seed), Drains(home, seed, **settings)
    rng = random.Random(seed)
    begun = time.monotonic()
    try:
        wait_until_ready(service)
        with load.running():
            with drains.running():
                for _ in range(kills):
                    load.wait_for(rng.randint(1, 100))
                    time.sleep(rng.uniform(0, 0.01))
                    if victim == "redis":
                        assert redis is not None
                        redis.kill()
                        redis.start()
                    else:
                        service = killed_and_started(service, home, port, **settings)
            load.wait_for(1)
        drains.last()
        count = check(load, drains.dataset)
        assert service.terminated() == 0
    finally:
        service.process.kill()
        service.process.wait()
        if redis:
            redis.kill()
    took = (time.monotonic() - begun) / 60
    measured(
        f"{kills} kills of the {victim} on {store} in {took:.1f} min (seed {seed}): "
        f"{count} events drained, {len(load.answered)} answered with 200, "
        f"{len(load.unknown)} of unknown end; requests {json.dumps(load.seen)}; "
        f"drains {json.dumps(drains.seen)}"
    )


def killed_and_started(service: Served, home: Path, port: int, **settings: object) -> Served:
    service.process.kill()
    service.process.wait()
    service = started(home, port, **settings)
    wait_until_ready(service)
    return service
