"""Requests a second beside a plain FastAPI service over `implicit`'s recommend.

    python -m benchmarks.peers.run

Three servers on one generated shop, asked in turns by the same generator, 16 connections, 20
products a list: Guesslike as `benchmarks.serving.bench` serves it (sessions, rules, reasons, one
event written in ten calls) on one core; the peer with as many BLAS threads as it takes by default,
free to use every core; and the peer told to take one thread, on one core. The peer leaves out what
was bought, and does nothing else of what Guesslike does. The medians of the rounds are compared.
Exits with 1 where an answer was wrong or a bar was missed.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.peers.app import HOME
from benchmarks.peers.factors import write_factors
from benchmarks.scale.run import size
from benchmarks.serving.bench import FASTEST, Server, running
from benchmarks.serving.load import Request, Round, full_speed
from benchmarks.serving.shop import CLOCK, FOLDER, SHOP, ServedShop, fill, served_shop, told
from benchmarks.serving.traffic import full_list, mixed, prepared, reads, writes

AT_LEAST = {"default": 50.0, "one": 3.0}
"""times the requests a second of the peer with so many BLAS threads"""
THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")
Side = tuple[Server, Callable[[], Iterator[Request]]]


def measure(sides: dict[str, Side], *, seconds: float, rounds: int) -> dict[str, Any]:
    """Alternating rounds at full speed: requests a second of each, and ours over theirs."""
    seen: dict[str, list[Round]] = {name: [] for name in sides}
    cpu = dict.fromkeys(sides, 0.0)
    for number in range(rounds + 1):
        for name, (server, requests) in sides.items():
            ahead, before = prepared(requests(), int(seconds * FASTEST)), server.cpu_seconds()
            one = full_speed(server.port, ahead, seconds=seconds)
            if number:  # the first warms up
                seen[name].append(one)
                cpu[name] += server.cpu_seconds() - before
    answers = {name: sum(len(one.latencies) for one in many) for name, many in seen.items()}
    cost = {name: cpu[name] / max(answers[name], 1) for name in sides}
    speed = {name: median(one.per_second for one in many) for name, many in seen.items()}
    every = [one for many in seen.values() for one in many]
    return {
        "per_second": {name: round(one) for name, one in speed.items()},
        "times": {name: round(speed["ours"] / speed[name], 1) for name in AT_LEAST},
        "cpu_us": {name: round(one * 1e6) for name, one in cost.items()},
        "rounds": {name: [round(one.per_second) for one in many] for name, many in seen.items()},
        "refused": sum(one.refused for one in every),
        "unanswered": sum(one.unanswered for one in every),
        "example": next((one.example for one in every if one.example), ""),
    }


def told_in_words(found: dict[str, Any]) -> str:
    """The result in words."""
    speed, times, rounds = found["per_second"], found["times"], found["rounds"]
    peers = "\n".join(
        f"implicit, {name + ' BLAS threads':<20} {speed[name]:>7,}/s   rounds {rounds[name]}   "
        f"Guesslike is {times[name]} times as fast (at least {AT_LEAST[name]:g} wanted)"
        for name in AT_LEAST
    )
    return (
        f"Guesslike                      {speed['ours']:>7,}/s   rounds {rounds['ours']}\n{peers}"
    )


def faults(found: dict[str, Any]) -> list[str]:
    """Why this result does not stand, or is not good enough."""
    said = []
    if found["refused"] or found["unanswered"]:
        said.append(f"answers were wrong or missing, for example {found['example'] or 'none came'}")
    said += [
        f"not {least:g} times as fast as implicit with {name} BLAS threads"
        for name, least in AT_LEAST.items()
        if found["times"][name] < least
    ]
    return said


def requests_to(shop: ServedShop) -> dict[str, Callable[[], Iterator[Request]]]:
    """What Guesslike is asked, and what the peer."""
    rng = np.random.default_rng()
    theirs = reads(shop.members, accepts=full_list(20), rng=rng)
    ours = mixed(
        reads(shop.members, also="&region=north", accepts=full_list(20), rng=rng),
        writes(shop.members, shop.bought, at=CLOCK, rng=rng),
    )
    return {"ours": lambda: ours, "default": lambda: theirs, "one": lambda: theirs}


def main(arguments: argparse.Namespace) -> int:
    """Runs it all, prints it, and returns the exit code."""
    if chosen := [name for name in THREADS if name in os.environ]:
        raise SystemExit(f"unset {' and '.join(chosen)}: the peer's default is measured too")
    shop = served_shop(arguments.folder, arguments.shop)
    peer = (shop.home / "peer").resolve()
    told("factorising, once")
    write_factors(shop.home / "dataset", peer)
    feed_url = str(shop.home / "feed.db")
    asyncio.run(fill(feed_url, shop.members, shop.bought, at=CLOCK))
    served, all_cores = {arguments.server_core}, os.sched_getaffinity(0)
    os.sched_setaffinity(0, {arguments.load_core})
    app = f"benchmarks.peers.app:create_{'async_' if arguments.on_loop else ''}app"
    plans: dict[str, tuple[str | None, set[int], dict[str, str]]] = {
        "ours": (None, served, shop.settings(feed_url)),
        "default": (app, all_cores, {HOME: str(peer)}),
        "one": (app, served, {HOME: str(peer), **dict.fromkeys(THREADS, "1")}),
    }
    asked = requests_to(shop)
    with ExitStack() as open_now:
        sides = {
            name: (
                open_now.enter_context(
                    running(cores=cores, clock=CLOCK, app=factory, environment=settings)
                ),
                asked[name],
            )
            for name, (factory, cores, settings) in plans.items()
        }
        found = measure(sides, seconds=arguments.seconds, rounds=arguments.rounds)
    print(json.dumps(found) if arguments.json else told_in_words(found))
    failed = faults(found)
    for fault in failed:
        print(f"FAILED: {fault}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    cores = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description="beside a plain service over implicit")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of generated shops")
    parser.add_argument("--shop", type=size, default=SHOP, help="events,members,products")
    parser.add_argument("--on-loop", action="store_true", help="the peer's route is async")
    parser.add_argument("--seconds", type=float, default=4.0, help="of one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--server-core", type=int, default=cores[0])
    parser.add_argument("--load-core", type=int, default=cores[-1])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    sys.exit(main(parser.parse_args()))
