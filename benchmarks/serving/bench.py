"""Requests a second of the recommendations route, against a route that does nothing.

    python -m benchmarks.serving.bench --dataset var/dataset --clock 2017-12-31T12:00:00Z

Needs a published model (GUESSLIKE_HOME, var by default). Its events go into that folder's feed.
One worker on one core, the load on another, 16 keep-alive connections. Rounds of the two
routes alternate, so that what else the machine does falls on both; the medians are compared.
Exits with 1 when an answer was wrong, the generator was the limit, or a bar was missed.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.serving.load import Request, Round, fixed_rate, full_speed
from benchmarks.serving.server import NO_OP_BODY, NO_OP_PATH
from benchmarks.serving.traffic import exactly, full_list, mixed, prepared, reads, writes
from recsys.dataset import Dataset

FASTEST = 20_000
"""requests a second that are prepared for: no Python server on one core answers more"""
TOO_BUSY = 0.9
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
def running(*, core: int, clock: datetime, app: str | None = None) -> Iterator[Server]:
    """The server in a process of its own on one core: Guesslike, or what MODULE:FACTORY makes."""
    command = [sys.executable, "-m", "benchmarks.serving.server", "--core", str(core)]
    command += ["--clock", clock.isoformat(), *(["--app", app] if app else [])]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
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
    """Alternating rounds at full speed, then the personal mix at half its full speed."""
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
    half = speed["personal"] / 2
    steady = fixed_rate(port, prepared(personal, ahead), rate=half, seconds=seconds)
    every = [*seen["no_op"], *seen["personal"], steady]
    return {
        "no_op_per_second": round(speed["no_op"]),
        "personal_per_second": round(speed["personal"]),
        "ratio": round(speed["personal"] / speed["no_op"], 3),
        "rounds": {name: [round(one.per_second) for one in many] for name, many in seen.items()},
        "no_op_cpu_us": round(cost["no_op"] * 1e6),
        "personal_cpu_us": round(cost["personal"] * 1e6),
        "server_busy": round(min(_busy(seen[name], cpu[name]) for name in sides), 2),
        "generator_busy": round(max(one.busy for one in every[:-1]), 2),
        "steady_per_second": round(half),
        "steady_p50_ms": round(steady.quantile(0.5) * 1000, 2),
        "steady_p99_ms": round(steady.quantile(0.99) * 1000, 2),
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
    return f"""{WHAT_IS_COMPARED}

no-op     {found["no_op_per_second"]:>7,}/s   rounds {found["rounds"]["no_op"]}
personal  {found["personal_per_second"]:>7,}/s   rounds {found["rounds"]["personal"]}
ratio     {found["ratio"]:>7}     of the medians
CPU for one request: no-op {found["no_op_cpu_us"]} µs, personal {found["personal_cpu_us"]} µs
busy at full speed: server {found["server_busy"]:.0%} of its core, generator at most \
{found["generator_busy"]:.0%} of its own (a server well under 100 % was disturbed by other programs)
at {found["steady_per_second"]:,}/s, from the moment each request was due: \
p50 {found["steady_p50_ms"]} ms, p99 {found["steady_p99_ms"]} ms
{found["answers"]:,} answers checked, {found["refused"]} refused, {found["unanswered"]} missing"""


def faults(found: dict[str, Any], *, at_least: float) -> list[str]:
    """Why this result does not stand, or is not good enough."""
    said = []
    if found["refused"] or found["unanswered"]:
        said.append(f"answers were wrong or missing, for example {found['example'] or 'none came'}")
    if found["generator_busy"] > TOO_BUSY:
        said.append("the generator was the limit: the true no-op is faster, the true ratio lower")
    if found["ratio"] < at_least:
        said.append(f"the ratio is below {at_least}")
    return said


def main(arguments: argparse.Namespace) -> int:
    """Runs it all, prints it, and returns the exit code."""
    events = Dataset(arguments.dataset).scan("events").select("member_id", "product_id")
    members, products = (
        events.select(name).drop_nulls().unique().sort(name).collect()[name].to_list()
        for name in ("member_id", "product_id")
    )
    rng = np.random.default_rng()
    personal = mixed(
        reads(members, accepts=full_list(20), rng=rng),
        writes(members, products, at=arguments.clock, rng=rng),
    )
    no_op = reads(members, path=NO_OP_PATH, accepts=exactly(NO_OP_BODY), rng=rng)
    with running(core=arguments.server_core, clock=arguments.clock) as server:
        os.sched_setaffinity(0, {arguments.load_core})
        found = measure(server, personal, no_op, seconds=arguments.seconds, rounds=arguments.rounds)
    print(json.dumps(found) if arguments.json else told(found))
    failed = faults(found, at_least=arguments.at_least)
    for fault in failed:
        print(f"FAILED: {fault}", file=sys.stderr)
    return 1 if failed else 0


def utc(text: str) -> datetime:
    """An ISO instant; without an offset it is UTC."""
    instant = datetime.fromisoformat(text)
    return instant if instant.tzinfo else instant.replace(tzinfo=UTC)


if __name__ == "__main__":
    cores = sorted(os.sched_getaffinity(0))
    parser = argparse.ArgumentParser(description=WHAT_IS_COMPARED)
    parser.add_argument("--dataset", type=Path, required=True, help="its members are drawn from")
    parser.add_argument("--clock", type=utc, required=True, help="when all of it happens")
    parser.add_argument("--seconds", type=float, default=4.0, help="of one round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--at-least", type=float, default=0.4, help="the ratio to reach")
    parser.add_argument("--server-core", type=int, default=cores[0])
    parser.add_argument("--load-core", type=int, default=cores[-1])
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    sys.exit(main(parser.parse_args()))
