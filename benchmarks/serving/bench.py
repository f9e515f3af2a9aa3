"""Requests a second of the recommendations route, against a route that does nothing.

    python -m benchmarks.serving.bench --feed file
    python -m benchmarks.serving.bench --feed redis
    python -m benchmarks.serving.bench --dataset var/dataset --clock 2017-12-31T12:00:00Z

The first two make a shop of 50,000 products and 100,000 members once (`benchmarks.serving.shop`),
each member with a session of 20 events, and serve it under rules; Redis is one of their own. The
third measures a published model of yours (GUESSLIKE_HOME, var by default), whose feed takes the
events. One worker on one core, the load on another (and Redis with it), 16 keep-alive
connections. Rounds of the two routes alternate, so that what else the machine does falls on both;
the medians are compared. Each route's p99 is at half of its own full speed. Exits with 1 when an
answer was wrong, the generator was the limit, or a bar was missed.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any, get_args

import numpy as np

from benchmarks.scale.run import size
from benchmarks.serving.feeds import Kind, feed
from benchmarks.serving.load import Request, Round, fixed_rate, full_speed
from benchmarks.serving.server import NO_OP_BODY, NO_OP_PATH
from benchmarks.serving.shop import CLOCK, FOLDER, SHOP, fill, served_shop
from benchmarks.serving.traffic import exactly, full_list, mixed, prepared, reads, writes
from recsys.dataset import Dataset

FASTEST = 20_000
"""requests a second that are prepared for: no Python server on one core answers more"""
TOO_BUSY = 0.9
AT_LEAST: dict[Kind, float] = {"file": 0.55, "redis": 0.4}
"""of the no-op's speed, by feed"""
WHAT_IS_COMPARED = """\
personal: nine GETs of 20 products for a member drawn from all, then one event written, and again.
no-op:    the same GETs to a route with the same parameters, middleware and dependencies that
          returns 20 constant items as bytes; no writes. So the ratio charges the personal side
          for its writes too; for reads alone it is higher."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers."""

    port: int
    pid: int

    def cpu_seconds(self) -> float:
        """What its process has used so far, all threads and system calls."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(
    *,
    cores: Collection[int],
    clock: datetime,
    app: str | None = None,
    environment: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Server]:
    """The server in a process of its own on some cores: Guesslike, or what MODULE:FACTORY makes.
    `environment` is beside what this process has."""
    command = [sys.executable, "-m", "benchmarks.serving.server", "--clock", clock.isoformat()]
    command += ["--cores", ",".join(map(str, cores)), *(["--app", app] if app else [])]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | dict(environment)
    ) as server:
        assert server.stdout
        try:
            port = server.stdout.readline()
            if not port:
                raise SystemExit(f"the server ended before it answered: {' '.join(command)}")
            yield Server(int(port), server.pid)
        finally:
            server.terminate()


def measure(
    server: Server,
    personal: Iterator[Request],
    no_op: Iterator[Request],
    *,
    seconds: float,
    rounds: int,
) -> dict[str, Any]:
    """Alternating rounds at full speed, then alternating rounds at half of each side's."""
    port, ahead = server.port, int(seconds * FASTEST)
    sides = {"no_op": no_op, "personal": personal}
    for side in sides.values():
        full_speed(port, prepared(side, FASTEST), seconds=1)  # warm up, not counted
    seen: dict[str, list[Round]] = {name: [] for name in sides}
    cpu: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            requests, before = prepared(side, ahead), server.cpu_seconds()
            seen[name].append(full_speed(port, requests, seconds=seconds))
            cpu[name].append(server.cpu_seconds() - before)
    speed = {name: median(one.per_second for one in many) for name, many in seen.items()}
    cost = {
        name: median(used / len(one.latencies) for used, one in zip(cpu[name], many, strict=True))
        for name, many in seen.items()
    }
    half = {name: one / 2 for name, one in speed.items()}
    steady: dict[str, list[Round]] = {name: [] for name in sides}
    for _ in range(rounds):
        for name, side in sides.items():
            requests = prepared(side, int(half[name] * seconds))
            steady[name].append(fixed_rate(port, requests, rate=half[name], seconds=seconds))
    p50, p99 = (
        {name: median(one.quantile(share) for one in many) for name, many in steady.items()}
        for share in (0.5, 0.99)
    )
    full = [*seen["no_op"], *seen["personal"]]
    every = [*full, *steady["no_op"], *steady["personal"]]
    return {
        "no_op_per_second": round(speed["no_op"]),
        "personal_per_second": round(speed["personal"]),
        "ratio": round(speed["personal"] / speed["no_op"], 3),
        "rounds": {name: [round(one.per_second) for one in many] for name, many in seen.items()},
        "no_op_cpu_us": round(cost["no_op"] * 1e6),
        "personal_cpu_us": round(cost["personal"] * 1e6),
        "server_busy": round(min(_busy(seen[name], cpu[name]) for name in sides), 2),
        "generator_busy": round(max(one.busy for one in full), 2),
        "steady_per_second": {name: round(one) for name, one in half.items()},
        "steady_p50_ms": {name: round(one * 1000, 2) for name, one in p50.items()},
        "steady_p99_ms": {name: round(one * 1000, 2) for name, one in p99.items()},
        "p99_ratio": round(p99["personal"] / p99["no_op"], 2),
        "answers": sum(len(one.latencies) for one in every),
        "refused": sum(one.refused for one in every),
        "unanswered": sum(one.unanswered for one in every),
        "example": next((one.example for one in every if one.example), ""),
    }


def _busy(rounds: list[Round], cpu: list[float]) -> float:
    """Share of the wall-clock time in which the server was on its core."""
    return sum(cpu) / sum(one.seconds for one in rounds)


def told(found: dict[str, Any]) -> str:
    """The result in words."""
    rate, p50, p99 = (found[f"steady_{name}"] for name in ("per_second", "p50_ms", "p99_ms"))
    return f"""{WHAT_IS_COMPARED}

no-op     {found["no_op_per_second"]:>7,}/s   rounds {found["rounds"]["no_op"]}
personal  {found["personal_per_second"]:>7,}/s   rounds {found["rounds"]["personal"]}
ratio     {found["ratio"]:>7}     of the medians
CPU for one request: no-op {found["no_op_cpu_us"]} µs, personal {found["personal_cpu_us"]} µs
busy at full speed: server {found["server_busy"]:.0%} of its core, generator at most \
{found["generator_busy"]:.0%} of its own (a server well under 100 % was disturbed by other programs)
at half speed, from the moment each request was due:
no-op     {rate["no_op"]:>7,}/s   p50 {p50["no_op"]} ms, p99 {p99["no_op"]} ms
personal  {rate["personal"]:>7,}/s   p50 {p50["personal"]} ms, p99 {p99["personal"]} ms
ratio     {found["p99_ratio"]:>7}     of the p99
{found["answers"]:,} answers checked, {found["refused"]} refused, {found["unanswered"]} missing"""


def faults(found: dict[str, Any], *, at_least: float, p99_at_most: float) -> list[str]:
    """Why this result does not stand, or is not good enough."""
    said = []
    if found["refused"] or found["unanswered"]:
        said.append(f"answers were wrong or missing, for example {found['example'] or 'none came'}")
    if found["generator_busy"] > TOO_BUSY:
        said.append("the generator was the limit: the true no-op is faster, the true ratio lower")
    if found["ratio"] < at_least:
        said.append(f"the ratio is below {at_least}")
    if found["p99_ratio"] > p99_at_most:
        said.append(f"the p99 is above {p99_at_most} times the no-op's")
    return said


def main(arguments: argparse.Namespace) -> int:
    """Runs it all, prints it, and returns the exit code."""
    load_core, clock = arguments.load_core, arguments.clock
    os.sched_setaffinity(0, {load_core})
    with ExitStack() as open_now:
        also, served_by = "", dict[str, str]()
        if arguments.dataset is not None:
            members, products = buyers_and_bought(arguments.dataset)
        else:
            shop = served_shop(arguments.folder, arguments.shop)
            url = open_now.enter_context(feed(arguments.feed, shop.home, core=load_core))
            asyncio.run(fill(url, shop.members, shop.bought, at=clock))
            served_by = shop.settings(url)
            members, products, also = shop.members, shop.bought, "&region=north"
        rng = np.random.default_rng()
        personal = mixed(
            reads(members, also=also, accepts=full_list(20), rng=rng),
            writes(members, products, at=clock, rng=rng),
        )
        no_op = reads(members, path=NO_OP_PATH, also=also, accepts=exactly(NO_OP_BODY), rng=rng)
        server = open_now.enter_context(
            running(cores={arguments.server_core}, clock=clock, environment=served_by)
        )
        found = measure(server, personal, no_op, seconds=arguments.seconds, rounds=arguments.rounds)
    print(json.dumps(found) if arguments.json else told(found))
    at_least = AT_LEAST[arguments.feed] if arguments.at_least is None else arguments.at_least
    failed = faults(found, at_least=at_least, p99_at_most=arguments.p99_at_most)
    for fault in failed:
        print(f"FAILED: {fault}", file=sys.stderr)
    return 1 if failed else 0


def buyers_and_bought(dataset: Path) -> tuple[list[str], list[str]]:
    """Everybody and everything that the events name."""
    events = Dataset(dataset).scan("events").select("member_id", "product_id")
    members, products = (
        events.select(name).drop_nulls().unique().sort(name).collect()[name].to_list()
        for name in ("member_id", "product_id")
    )
    return members, products


def utc(text: str) -> datetime:
    """An ISO instant; without an offset it is UTC."""
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


if __name__ == "__main__":
    cores = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=WHAT_IS_COMPARED)
    parser.add_argument("--dataset", type=Path, help="of your own model: members are drawn from it")
    parser.add_argument("--clock", type=utc, default=CLOCK, help="when all of it happens")
    parser.add_argument("--shop", type=size, default=SHOP, help="events,members,products")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of generated shops")
    parser.add_argument("--feed", choices=get_args(Kind), default="file")
    parser.add_argument("--seconds", type=float, default=4.0, help="of one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--at-least", type=float, help="the ratio to reach")
    parser.add_argument("--p99-at-most", type=float, default=3.0, help="times the no-op's")
    parser.add_argument("--server-core", type=int, default=cores[0])
    parser.add_argument("--load-core", type=int, default=cores[-1])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    sys.exit(main(parser.parse_args()))
