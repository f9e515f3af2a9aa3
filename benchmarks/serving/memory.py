"""What a worker needs beside the model that all share, at 1 M members and 100,000 products.

    python -m benchmarks.serving.memory

`guesslike serve --workers 2` on a model of that size, whose arrays are drawn from a small trained
one (`benchmarks.serving.large`), for to train it takes half an hour; its members have sessions of
20 events. A worker's own memory is what /proc says is private to it, the mapped files of the model
left out: after the start, after lists for many members, and after more different filters than a
worker keeps. Exits with 1 where a bar is missed.
"""

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from benchmarks.scale.run import size
from benchmarks.scale.shop import Size
from benchmarks.serving.large import write_large
from benchmarks.serving.load import Request, full_speed
from benchmarks.serving.served import Served, served
from benchmarks.serving.shop import CLOCK, FOLDER, fill, served_shop, told
from benchmarks.serving.traffic import full_list, reads
from recsys import artifact

LARGE = Size(0, 1_000_000, 100_000)
TEMPLATE = Size(40_000, 1_000, 2_000)
ACTIVE = 30_000
"""members with a session, who are asked for: more than a worker remembers"""
FILTERS = 100
MOST_MIB = 150.0
MOST_GB = 2.0
MIB = 2**20


def private(pid: int, *, but: str) -> int:
    """Bytes that a process shares with no other, mappings of files under a path left out."""
    return private_of(Path(f"/proc/{pid}/smaps").read_text().splitlines(), but=but)


def private_of(smaps: Iterable[str], *, but: str) -> int:
    """The same of the lines of /proc/PID/smaps."""
    total, counts = 0, True
    for line in smaps:
        name, _, rest = line.partition(" ")
        if not name.endswith(":"):  # an address: a mapping begins
            counts = but not in line
        elif counts and re.fullmatch("Private_(Clean|Dirty|Hugetlb):", name):
            total += int(rest.split()[0]) * 1024
    return total


def filtered(members: Iterator[str]) -> Iterator[Request]:
    """Lists under one filter after another."""
    for number, member in enumerate(islice(members, FILTERS * 10)):
        text = quote(f"price <= {20 + number % FILTERS / 10}")
        wire = f"GET /v1/recommendations?member_id={member}&limit=20&filter={text} HTTP/1.1\r\n"
        yield Request(f"{wire}Host: 127.0.0.1\r\n\r\n".encode(), full_list(20))


def measure(server: Served, models: str, members: list[str]) -> dict[str, Any]:
    """The most that any worker has of its own, step by step."""

    def most() -> float:
        own = [private(pid, but=models) for pid in server.workers()]
        return round(max(own) / MIB, 1)

    found: dict[str, Any] = {"workers": len(server.workers()), "started_mib": most()}
    rng = np.random.default_rng(1)
    asking = islice(
        reads(members, also="&region=north", accepts=full_list(20), rng=rng), 2 * ACTIVE
    )
    seen = full_speed(server.port, asking, seconds=3600)
    found |= {"lists": len(seen.latencies), "lists_mib": most()}
    others = full_speed(server.port, filtered(iter(members)), seconds=3600)
    found |= {"filters": FILTERS, "filters_mib": most()}
    found["refused"] = seen.refused + others.refused + seen.unanswered + others.unanswered
    return found


def main(arguments: argparse.Namespace) -> int:
    """Makes the model once, measures, prints, and returns the exit code."""
    large: Size = arguments.model
    home = arguments.folder / f"model-{large.members}-{large.products}"
    models = home / "models"
    if artifact.current(models) is None:
        shop = served_shop(arguments.folder, TEMPLATE)
        small = artifact.current(shop.home / "models")
        assert small is not None
        told("writing the model, once")
        version = write_large(models, shop.home / "models", small, large)
        artifact.point_current(models, version)
    written = sum(file.stat().st_size for file in models.rglob("*") if file.is_file())
    drawn = np.random.default_rng(1).permutation(large.members)[:ACTIVE]
    members = [f"m{one}" for one in drawn.tolist()]
    popular = (large.products * np.random.default_rng(1).random(100_000) ** 3).astype(int)
    bought = [f"p{one}" for one in popular.tolist()]
    url = str(home / "feed.db")
    asyncio.run(fill(url, members, bought, at=CLOCK))
    with served(
        home, workers=arguments.workers, clock=CLOCK, feed_url=url, log=home / "log"
    ) as server:
        found = measure(server, str(models.resolve()), members)
    found["model_gb"] = round(written / 1e9, 3)
    if arguments.json:
        print(json.dumps(found))
    else:
        print(
            f"model of {large.members:,} members and {large.products:,} products: "
            f"{found['model_gb']} GB of files\n"
            f"a worker's own memory, the most of {found['workers']}: {found['started_mib']} MiB at "
            f"the start, {found['lists_mib']} MiB after {found['lists']:,} lists for "
            f"{ACTIVE:,} members, {found['filters_mib']} MiB after {FILTERS} different filters"
        )
    failed = faults(found)
    for fault in failed:
        print(f"FAILED: {fault}", file=sys.stderr)
    return int(bool(failed))


def faults(found: dict[str, Any]) -> list[str]:
    """Why this is not good enough."""
    said = []
    if found["refused"]:
        said.append(f"{found['refused']} lists were wrong or missing")
    if max(found["lists_mib"], found["filters_mib"]) > MOST_MIB:
        said.append(f"a worker has more than {MOST_MIB:g} MiB of its own")
    if found["model_gb"] > MOST_GB:
        said.append(f"the model's files have more than {MOST_GB:g} GB")
    return said


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="a worker's own memory")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--model", type=size, default=LARGE, help="0,members,products")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    sys.exit(main(parser.parse_args()))
