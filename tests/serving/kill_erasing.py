"""Drains identifications and an erasure in children that are killed at every step.

A step is one of: a file opened, flushed, renamed or removed, a folder made, the feed's mark moved.
"""

import asyncio
import os
import pathlib
import sys
from pathlib import Path

from serving.drain import drain
from serving.feed import open_feed
from serving.feed.sqlite import SqliteFeed
from tests.kill_at_every_step import Wrap, at_every_step


def drained(folder: Path) -> None:
    async def once() -> None:
        feed = await open_feed(str(folder / "feed.db"))
        await drain(feed, folder / "dataset", home=folder / "home")
        await feed.close()

    asyncio.run(once())


def patch(counted: Wrap) -> None:
    for owner, name in (
        *((os, name) for name in ("fsync", "replace", "rename", "mkdir", "unlink")),
        *((pathlib.Path, name) for name in ("open", "unlink")),
        *((SqliteFeed, name) for name in ("fix_range", "confirm")),
    ):
        setattr(owner, name, counted(getattr(owner, name)))


if __name__ == "__main__":
    at_every_step(drained, patch, Path(sys.argv[1]), Path(sys.argv[2]))
