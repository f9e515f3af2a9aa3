"""Sends recorded a second through a channel that takes everything, from claim to settled.

    python -m benchmarks.sending.throughput [--postgres URL] [--members 40000] [--senders 1 2]

Durable settings, at most 64 calls in flight a sender. Prints the median of several runs for each
store and number of senders, and beside them what the store gives of itself in the same minutes.
Exits with 1 where a bar is missed.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

from sqlalchemy import create_engine, text

from benchmarks.sending.bare import bare_rate
from benchmarks.sending.shop import fill, keep, make_plan, open_scratch
from campaigns.verify import verify

ASKED = {"sqlite": 8_000, "postgresql": 3_000}
POSTGRES = os.environ.get("GUESSLIKE_TEST_POSTGRES", "postgresql+psycopg://127.0.0.1:5432/test")
SCHEMA = "guesslike_sending"


def senders_do(url: str, folder: Path, plan_id: str, senders: int) -> tuple[float, list[object]]:
    """Seconds that so many processes take together, and what each did."""
    words = [url, str(folder), plan_id, str(monotonic())]
    command = [sys.executable, "-m", "benchmarks.sending.sender", *words]
    pipe = subprocess.PIPE
    running = [
        subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(senders)
    ]
    for one in running:
        assert one.stdout is not None
        assert one.stdout.readline() == "ready\n", "a sender did not start"
    start = monotonic()
    for one in running:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    told = [json.loads(one.communicate(timeout=1200)[0]) for one in running]
    return monotonic() - start, told


def one_run(store: str, members: int, senders: int) -> float:
    """Sends a second."""
    with empty(store) as (url, folder):
        with open_scratch(url, folder) as ledger:
            plan = make_plan(members, ledger.identity)
            fill(ledger, plan)
            keep(plan, folder)
        seconds, told = senders_do(url, folder, plan.plan_id, senders)
        with open_scratch(url, folder) as ledger:
            report = verify(ledger)
        assert report.breaches == (), report.breaches[:3]
        assert report.pushes == members, (report.pushes, told)
    return members / seconds


@contextmanager
def empty(store: str) -> Iterator[tuple[str, Path]]:
    """The URL of a store without tables, and a folder."""
    with tempfile.TemporaryDirectory(dir="var") as name:
        url = f"sqlite:///{name}/ledger.db"
        if store == "postgresql":
            fresh_schema()
            url = f"{POSTGRES}?options=-csearch_path%3D{SCHEMA}"
        yield url, Path(name)


def fresh_schema() -> None:
    """An empty schema of PostgreSQL's."""
    engine = create_engine(POSTGRES)
    with engine.begin() as connection:
        connection.execute(text(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE"))
        connection.execute(text(f"CREATE SCHEMA {SCHEMA}"))
    engine.dispose()


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--members", type=int, default=40_000)
    parser.add_argument("--senders", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--stores", nargs="+", default=list(ASKED))
    parser.add_argument("--runs", type=int, default=3)
    asked = parser.parse_args()
    Path("var").mkdir(exist_ok=True)
    missed = False
    for store in asked.stores:
        best, bare = 0.0, []
        for senders in asked.senders:
            rates = []
            for _ in range(asked.runs):
                with empty(store) as (url, _folder):
                    bare.append(bare_rate(url, asked.members))
                rates.append(one_run(store, asked.members, senders))
            middle = statistics.median(rates)
            best = max(best, middle)
            print(
                f"{store}, {senders} senders: {middle:,.0f} sends/s"
                f" ({min(rates):,.0f} to {max(rates):,.0f}); asked {ASKED[store]:,}"
            )
        given = statistics.median(bare)
        print(f"{store}, bare statements: {given:,.0f} sends/s; ours are {best / given:.0%} of it")
        missed |= best < ASKED[store]
    sys.exit(missed)


if __name__ == "__main__":
    main()
