"""Forks senders, kills each as it is told, and forks the next. `python -m` it with the folder.

Reads a round from each line of stdin: for each place the lives that follow one another there.
Answers with a line of how they ended. Nothing here runs a thread before a fork.
"""

import json
import os
import random
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from campaigns.ledger.plans import live_plans
from campaigns.run import send_or_wait
from campaigns.selftest.steps import Steps
from campaigns.selftest.world import compose, read_world
from recsys.errors import GuesslikeError

_POLL = 0.001


@dataclass(frozen=True, slots=True)
class Order:
    """How a sender dies; one without a step and seconds lives to its end."""

    step: int | None = None
    after: bool = False
    """that step, and not before it"""
    seconds: float | None = None
    """after its start"""


@dataclass(frozen=True, slots=True)
class Life:
    """How a sender ended."""

    order: Order
    killed: bool
    seconds: float
    steps: int = 0
    """of one that was not killed"""
    error: str = ""
    """what it said, if it came to its end with one that a person can mend"""
    defect: str = ""
    """likewise, one of ours"""


@dataclass(slots=True)
class _Child:
    pid: int
    order: Order
    since: float
    told: int
    """the pipe that it writes its end to"""
    shot: bool = False


def lives(folder: Path, places: list[list[Order]]) -> list[Life]:
    """One round: at each place one life after another, at all places at once."""
    queues = [iter(orders) for orders in places]
    children = [_next(folder, queue) for queue in queues]
    ended: list[Life] = []
    while any(children):
        for at, child in enumerate(children):
            life = child and _look(child)
            if life:
                ended.append(life)
                children[at] = _next(folder, queues[at])
        time.sleep(_POLL)
    return ended


def _next(folder: Path, orders: Iterator[Order]) -> _Child | None:
    order = next(orders, None)
    if order is None:
        return None
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.write(write, json.dumps(_live(folder, order)).encode())
        finally:
            os._exit(0)
    os.close(write)
    return _Child(pid, order, time.monotonic(), read)


def _look(child: _Child) -> Life | None:
    """How it ended, if it did; kills it when its time has come."""
    age = time.monotonic() - child.since
    pid, status = os.waitpid(child.pid, os.WNOHANG)
    if pid == 0:
        limit = child.order.seconds
        if limit is not None and age >= limit and not child.shot:
            os.kill(child.pid, signal.SIGKILL)
            child.shot = True
        return None
    with os.fdopen(child.told) as pipe:
        said = pipe.read()
    if os.WIFSIGNALED(status):
        return Life(child.order, killed=True, seconds=age)
    told = json.loads(said) if said else {"defect": "it ended without a word"}
    return Life(child.order, killed=False, seconds=age, **told)


def _live(folder: Path, order: Order) -> dict[str, Any]:
    """Sends what is left of all live plans, in an order by lot."""
    steps = Steps(order.step, after=order.after)
    steps.install()
    ended = {"error": "", "defect": ""}
    try:
        composition = compose(folder, read_world(folder))
        with composition.open_ledger() as ledger:
            plans = [one.plan_id for one in live_plans(ledger)]
        random.SystemRandom().shuffle(plans)
        for plan_id in plans:
            send_or_wait(composition, plan_id)
    except GuesslikeError as broke:
        ended["error"] = str(broke)
    except Exception as broke:  # noqa: BLE001 -- told to who started it
        ended["defect"] = f"{type(broke).__name__}: {broke}"
    return {"steps": steps.taken, **ended}


def main(folder: Path) -> None:
    """A round for each line, until stdin ends."""
    for line in sys.stdin:
        places = [[Order(**order) for order in orders] for orders in json.loads(line)]
        sys.stdout.write(json.dumps([asdict(one) for one in lives(folder, places)]) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
