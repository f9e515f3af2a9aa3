"""Drains what was promised in children that are killed at every step of it."""

import os
import sys
from pathlib import Path

from serving.drain_promised import drain_promised
from serving.erasing import Erasures
from tests.kill_at_every_step import Wrap, at_every_step
from tests.serving.promised import promised


def drained(folder: Path) -> None:
    drain_promised(promised(9), folder, Erasures(folder, None))


def patch(counted: Wrap) -> None:
    for name in ("open", "fsync", "replace", "rename", "mkdir", "unlink"):
        setattr(os, name, counted(getattr(os, name)))


if __name__ == "__main__":
    at_every_step(drained, patch, Path(sys.argv[1]), Path(sys.argv[2]))
