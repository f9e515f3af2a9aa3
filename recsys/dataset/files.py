"""Parquet files, and a full disk in words that a program understands."""

import os
import re
from pathlib import Path

import polars as pl


def write_parquet(rows: pl.DataFrame | pl.LazyFrame, path: Path) -> None:
    """Write a file in the rows' order; OSError if the disk is full."""
    try:
        if isinstance(rows, pl.DataFrame):
            rows.write_parquet(path)
        else:
            rows.sink_parquet(path)
    except pl.exceptions.ComputeError as error:
        # A full disk comes out of Polars as text.
        code = re.search(r"\(os error (\d+)\)", str(error))
        if code is None:
            raise
        number = int(code[1])
        raise OSError(number, os.strerror(number), str(path)) from error
