"""Files of a dataset that appear or are replaced whole, whatever is killed."""

import os
from pathlib import Path

import polars as pl

from recsys.dataset.files import write_parquet


def write(rows: pl.DataFrame | pl.LazyFrame, path: Path) -> None:
    """Put the rows under that name, and make it survive a loss of power."""
    draft = path.with_name(f".{path.name}.tmp")
    try:
        write_parquet(rows, draft)
        with draft.open("rb") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    flush(path.parent)


def clear(folder: Path) -> None:
    """Remove what a kill left behind; no reader takes it for a part."""
    for left_over in folder.glob(".*.parquet.tmp"):
        left_over.unlink()


def flush(folder: Path) -> None:
    """Make the names in a folder survive a loss of power."""
    held = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(held)
    finally:
        os.close(held)
