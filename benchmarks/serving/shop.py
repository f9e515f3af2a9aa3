"""A generated shop that can be served: its dataset, a published model, and what its members did in
the last half hour. Made once, kept in a folder.

    python -m benchmarks.serving.shop --shop 2000000,100000,50000
"""

import argparse
import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path

import numpy as np

from benchmarks.scale.run import size
from benchmarks.scale.shop import BEGIN, DAYS, Size, write_shop
from recsys import artifact
from recsys.dataset import Dataset
from serving.feed import open_feed
from serving.feed.contract import Event

FOLDER = Path("var/serving")
SHOP = Size(2_000_000, 100_000, 50_000)
CLOCK = BEGIN + timedelta(days=DAYS, hours=9)
"""the morning after the last event"""
SESSION = ("view",) * 12 + ("click",) * 4 + ("add_to_cart",) * 2 + ("search", "purchase")
"""what every member did just now, one event a minute"""
BATCH = 500
LINES = 1_000_000
"""bought lines at most that products are drawn from"""
PLACEMENTS = "placements.yaml"
RULES = """\
home:
  filter: price <= 38 and brand != "brand 13"
  at_most:
    - {of: brand, most: 2}
    - {of: category, level: 3, most: 5}
  bury: brand in ["brand 7", "brand 8"]
"""
"""beside those of every list: stock, region, one variant of each product, no repeat too soon"""


@dataclass(frozen=True, slots=True)
class ServedShop:
    """Where it lies, who is in it, and what is bought there."""

    home: Path
    members: list[str]
    bought: list[str]
    """products, each as often as it is bought"""

    def settings(self, feed_url: str) -> dict[str, str]:
        """The environment that it is served under."""
        return {
            "GUESSLIKE_HOME": str(self.home),
            "GUESSLIKE_SERVING__FEED_URL": feed_url,
            "GUESSLIKE_SERVING__PLACEMENTS": str(self.home / PLACEMENTS),
            "OPENBLAS_NUM_THREADS": "1",  # as the command sets it
        }


def served_shop(folder: Path, shop: Size) -> ServedShop:
    """Generate, train and publish what is not there yet."""
    home = folder / f"{shop.events}-{shop.members}-{shop.products}"
    dataset, models = home / "dataset", home / "models"
    if not (home / "made").exists():
        shutil.rmtree(dataset, ignore_errors=True)
        write_shop(dataset, shop)
        (home / "made").touch()
    if artifact.current(models) is None:
        told(f"training on {shop.events:,} events of {shop.members:,} members, once")
        if not artifact.versions(models):
            _guesslike(home, "train", str(dataset))
        _guesslike(home, "models", "publish", artifact.versions(models)[-1], "--force")
    (home / PLACEMENTS).write_text(RULES)
    tables = Dataset(dataset)
    lines = tables.scan("events").select("product_id").collect()["product_id"]
    drawn = lines.sample(min(len(lines), LINES), seed=1, shuffle=True)
    return ServedShop(home, tables.read("members")["member_id"].to_list(), drawn.to_list())


def _guesslike(home: Path, *words: str) -> None:
    command = [sys.executable, "-m", "guesslike", *words]
    environment = os.environ | {"GUESSLIKE_HOME": str(home)}
    subprocess.run(command, check=True, env=environment, stdout=sys.stderr)


async def fill(url: str, members: Sequence[str], bought: Sequence[str], *, at: datetime) -> None:
    """Give every member a session in the feed, of products drawn from `bought`. What is there
    already is not written again."""
    feed = await open_feed(url)
    try:
        wanted = len(members) * len(SESSION)
        if sum((await feed.last_sequences()).values()) >= wanted:
            return
        told(f"writing {wanted:,} events into the feed, once")
        now = round(at.timestamp() * 1_000_000)
        events = sessions(members, bought, at=now)
        while batch := list(islice(events, BATCH)):
            await feed.append(batch, now=now)
    finally:
        await feed.close()


def sessions(members: Sequence[str], bought: Sequence[str], *, at: int) -> Iterator[Event]:
    """SESSION of each member, its last event a minute before `at` (microseconds)."""
    drawn = np.random.default_rng(1).integers(0, len(bought), (len(members), len(SESSION)))
    minute = 60_000_000
    for member, row in zip(members, drawn.tolist(), strict=True):
        for place, kind in enumerate(SESSION):
            yield Event(
                f"session-{member}-{place}",
                kind,
                at - (len(SESSION) - place) * minute,
                product_id=None if kind == "search" else bought[row[place]],
                member_id=member,
                query="product" if kind == "search" else None,
                order_id=f"{member} now" if kind == "purchase" else None,
            )


def told(step: str) -> None:
    """Say what takes a while."""
    print(step, file=sys.stderr, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=FOLDER)
    parser.add_argument("--shop", type=size, default=SHOP, help="events,members,products")
    arguments = parser.parse_args()
    made = served_shop(arguments.folder, arguments.shop)
    asyncio.run(fill(str(made.home / "feed.db"), made.members, made.bought, at=CLOCK))
    print(made.home)
