"""Datasets written down by hand: a few events, and tables as rows."""

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from recsys.dataset import Dataset
from tests.small_shop import BEGIN, TIME
from training.shop import Shop, load

FIRST = BEGIN.timestamp() / 86_400


def on(day: float) -> datetime:
    return BEGIN + timedelta(days=day)


def shop_of(folder: Path, rows: list[dict[str, Any]], **tables: list[dict[str, Any]]) -> Shop:
    return load(dataset_of(folder, rows, **tables))


def dataset_of(folder: Path, rows: list[dict[str, Any]], **tables: list[dict[str, Any]]) -> Dataset:
    """Events with `day` and a default kind; tables as rows."""
    folder.mkdir(parents=True, exist_ok=True)
    whole = [
        {"kind": "purchase", "occurred_at": on(row["day"])}
        | {k: v for k, v in row.items() if k != "day"}
        for row in rows
    ]
    for name, table in {"events": whole, **tables}.items():
        frame = pl.DataFrame(table, infer_schema_length=None)
        times = {name: TIME for name in frame.columns if frame[name].dtype == pl.Datetime}
        frame.cast(times).write_parquet(folder / f"{name}.parquet")  # type: ignore[arg-type]
    return Dataset(folder)
