"""A part of the dataset: there whole or not at all."""

import os
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import polars as pl

from serving.feed.contract import Range


@dataclass(frozen=True, slots=True)
class Part:
    """A file of the dataset and the sequence numbers in it."""

    path: Path
    held: Range


def write(path: Path, rows: pl.DataFrame) -> None:
    """Write a temporary file, flush and rename it. Its folder is to be flushed by `flush`."""
    packed = BytesIO()
    rows.write_parquet(packed)
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(packed.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Remove what a killed drain left half-written."""
    for left_over in folder.glob(".feed-*.tmp"):
        left_over.unlink()


def flush(folder: Path) -> None:
    """Make the names in a folder survive a loss of power."""
    held = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)
