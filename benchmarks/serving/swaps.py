"""Publishings under load: how long until every worker serves the new model, and what goes wrong.

    python -m benchmarks.serving.swaps

`guesslike serve --workers 2` on a generated shop, asked at full speed over 16 connections while two
models take turns at being published. The second is the first under other product ids, so an answer
that names one model and has an item, or a product as evidence, of the other is seen. Time counts
from the end of the publishing, when CURRENT is replaced, until every worker has said in /metrics
that it took the model up, and no later answer is from the old one. Exits with 1 where an answer
failed or was mixed, or a swap took longer than the bar.
"""

import argparse
import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Any
from urllib.parse import quote

import msgspec
import numpy as np

from benchmarks.scale.run import size
from benchmarks.serving.load import Request, Round, full_speed
from benchmarks.serving.served import Served, served
from benchmarks.serving.shop import CLOCK, FOLDER, SHOP, served_shop, told
from recsys import artifact
from recsys.ids import IdIndex
from recsys.model import to_arrays
from training.config import TrainingSettings
from training.publish import publish

MOST_SECONDS = 2.0
RENAMED = "other-"
"""stands before every product id of the second model"""
BETWEEN_SECONDS = 0.5
"""of load once every worker has the new model, in which a late answer from the old one is seen"""
PATIENCE = 60.0


class _Evidence(msgspec.Struct):
    product_id: str | None = None


class _Reason(msgspec.Struct):
    evidence: _Evidence


class _Item(msgspec.Struct):
    product_id: str
    reason: _Reason


class _Answer(msgspec.Struct):
    model_version: str
    items: list[_Item]


_ANSWER = msgspec.json.Decoder(_Answer)


@dataclass(slots=True)
class Watch:
    """What the answers say, as they come."""

    renamed: str
    """the version whose products have other ids"""
    last: dict[str, float] = field(default_factory=dict)
    """by version: when it was named last"""
    mixed: int = 0

    def accepts(self, status: int, body: bytes) -> bool:
        """Whether it is a full list of one model."""
        if status != 200:
            return False
        answer = _ANSWER.decode(body)
        self.last[answer.model_version] = perf_counter()
        ids = [item.product_id for item in answer.items]
        ids += [item.reason.evidence.product_id or ids[0] for item in answer.items]
        wanted = answer.model_version == self.renamed
        whole = len(answer.items) == 20 and all(one.startswith(RENAMED) == wanted for one in ids)
        self.mixed += not whole
        return whole


def renamed(models: Path, version: str) -> str:
    """The same model with other product ids, as a version beside it."""
    opened = artifact.open_model(models, version)
    ids = IdIndex.from_arrays(opened.arrays, "products").texts()
    others = to_arrays("products", IdIndex.build([RENAMED + one for one in ids]))
    return artifact.write(models, opened.manifest, {**opened.arrays, **others})


def swaps(
    server: Served, models: Path, versions: tuple[str, str], members: Sequence[str], *, count: int
) -> dict[str, Any]:
    """Publish the two in turns under load, and say what was seen."""
    watch = Watch(versions[1])
    ended = threading.Event()
    rounds: list[Round] = []

    def load() -> None:
        asking = requests(members, watch, ended)
        rounds.append(full_speed(server.port, asking, seconds=count * PATIENCE))

    thread = threading.Thread(target=load)
    thread.start()
    try:
        _until(lambda: versions[0] in watch.last, "an answer")
        seconds = [
            _swap(server, watch, models, old, new) for old, new in islice(_turns(versions), count)
        ]
    finally:
        ended.set()
        thread.join()
    (seen,) = rounds
    return {
        "swaps": len(seconds),
        "workers": len(server.workers()),
        "seconds_median": round(median(seconds), 2),
        "seconds_most": round(max(seconds), 2),
        "answers": len(seen.latencies),
        "failed": seen.refused - watch.mixed + seen.unanswered,
        "mixed": watch.mixed,
        "example": seen.example,
        "p99_ms": round(seen.quantile(0.99) * 1000, 1),
    }


def requests(members: Sequence[str], watch: Watch, ended: threading.Event) -> Iterator[Request]:
    """Home lists of one member after another, until it is over."""
    for member in cycle(members):
        if ended.is_set():
            return
        wire = f"GET /v1/recommendations?member_id={quote(member)}&limit=20 HTTP/1.1\r\n"
        yield Request(f"{wire}Host: 127.0.0.1\r\n\r\n".encode(), watch.accepts)


def _turns(versions: tuple[str, str]) -> Iterator[tuple[str, str]]:
    first, second = versions
    return cycle([(first, second), (second, first)])


def _swap(server: Served, watch: Watch, models: Path, old: str, new: str) -> float:
    """Publish; the seconds from then until every worker serves it and none the old one."""
    wanted = taken_up(server) + len(server.workers())
    publish(models, new, TrainingSettings(), now=datetime.now(UTC), force=True)
    published = perf_counter()
    _until(lambda: taken_up(server) >= wanted, f"every worker serving {new}")
    served_by_all = perf_counter()
    time.sleep(BETWEEN_SECONDS)
    return max(served_by_all, watch.last[old]) - published


def taken_up(server: Served) -> int:
    """Models that the workers have taken up since their start, all of them together."""
    name = 'guesslike_model_updates_total{outcome="taken_up"}'
    lines = server.get("/metrics").decode().splitlines()
    return int(sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name)))


def _until(true: Callable[[], bool], what: str) -> None:
    until = perf_counter() + PATIENCE
    while not true():
        if perf_counter() > until:
            raise SystemExit(f"waited {PATIENCE:g} s for {what}")
        time.sleep(0.02)


def faults(found: dict[str, Any]) -> list[str]:
    """Why this is not good enough."""
    said = []
    if found["failed"] or found["mixed"]:
        said.append(f"answers failed or were mixed, for example {found['example'] or 'none came'}")
    if found["seconds_most"] > MOST_SECONDS:
        said.append(f"a swap took more than {MOST_SECONDS:g} s")
    return said


def main(arguments: argparse.Namespace) -> int:
    """Runs it, prints it, and returns the exit code."""
    shop = served_shop(arguments.folder, arguments.shop)
    with TemporaryDirectory(dir=arguments.folder) as folder:
        home = Path(folder)
        models = home / "models"
        first = artifact.current(shop.home / "models")
        assert first is not None
        models.mkdir()
        shutil.copytree(shop.home / "models" / first, models / first)
        second = renamed(models, first)
        artifact.point_current(models, first)
        members = np.random.default_rng(1).permutation(shop.members).tolist()
        told(f"{arguments.swaps} swaps under load")
        with served(
            home, workers=arguments.workers, clock=CLOCK, feed_url=str(home / "feed.db"),
            log=home / "log",
        ) as server:  # fmt: skip
            found = swaps(server, models, (first, second), members, count=arguments.swaps)
    if arguments.json:
        print(json.dumps(found))
    else:
        print(
            f"{found['swaps']} swaps, {found['workers']} workers, {found['answers']:,} answers: "
            f"{found['failed']} failed, {found['mixed']} mixed\n"
            f"published to served by every worker: median {found['seconds_median']} s, "
            f"at most {found['seconds_most']} s; p99 of an answer {found['p99_ms']} ms"
        )
    failed = faults(found)
    for fault in failed:
        print(f"FAILED: {fault}", file=sys.stderr)
    return int(bool(failed))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="publishings under load")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of generated shops")
    parser.add_argument("--shop", type=size, default=SHOP, help="events,members,products")
    parser.add_argument("--swaps", type=int, default=50)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    sys.exit(main(parser.parse_args()))
