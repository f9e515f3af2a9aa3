"""Anyone's CSV and Parquet files, named as the tables, as a dataset."""

import csv
import difflib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from zoneinfo import available_timezones

import polars as pl

from recsys.dataset.checks import DEFAULT_MAX_REJECTS, ROW, Part, read_schema
from recsys.dataset.rules import OVERFLOW
from recsys.dataset.tables import TABLES
from recsys.errors import DataError
from training.importers.writing import ImportReport, write_dataset

_SEPARATORS = ",;\t|"
_PLAIN_NUMBER = r"^-?(0|[1-9]\d{0,14})(\.\d+)?$"  # 007 is a name, not a number


def import_csv(
    folder: Path,
    out: Path,
    *,
    timezone: str | None = None,
    max_rejects: float = DEFAULT_MAX_REJECTS,
    progress: Callable[[str], None] = lambda _: None,
) -> ImportReport:
    """T.csv, T.parquet or a folder T/ of such parts for each table T in `folder`, into `out`.

    CSV is UTF-8 with a header; the separator is the commonest of comma, semicolon, tab and bar
    in the header. Times are ISO 8601, in `timezone` (IANA) where they say none: a time that
    happened twice is the first, one that was skipped is a bad row. Lists are JSON or a|b|c.
    Raises DataError.
    """
    if timezone is not None and timezone not in available_timezones():
        raise DataError(
            f"--timezone {timezone} is not an IANA time zone"
            f"{_nearest(timezone, sorted(available_timezones()))}. Write one like Europe/Berlin."
        )
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder. Name the one that holds events.csv.")
    if out.resolve() == folder.resolve():
        raise DataError(f"{out} holds the files to import. Name another folder for the dataset.")
    found = _find(folder)
    if "events" not in found:
        there = sorted(path.name for path in folder.iterdir())
        raise DataError(
            f"{folder}: no events.csv, events.parquet or events/; there is "
            f"{', '.join(there) or 'nothing'}{_nearest('events.csv', there)}. "
            "Name the file of the shop's events so."
        )
    parts = {name: [_part(path, folder) for path in paths] for name, paths in found.items()}
    return write_dataset(
        out,
        parts.items(),
        importer="csv",
        timezone=timezone,
        max_rejects=max_rejects,
        refine=_with_numbers,
        notes=[*_unused_files(folder, found), *_unused_columns(parts)],
        progress=progress,
    )


def _find(folder: Path) -> dict[str, list[Path]]:
    """The files of each table that has any, in the order of the tables."""
    found = {}
    for name in TABLES:
        single = [folder / f"{name}.csv", folder / f"{name}.parquet"]
        parts = sorted(
            path
            for path in (folder / name).glob("*")
            if path.suffix in (".csv", ".parquet") and not path.name.startswith(".")
        )
        if files := [*(path for path in single if path.is_file()), *parts]:
            found[name] = files
    return found


def _part(path: Path, folder: Path) -> Part:
    name = path.relative_to(folder).as_posix()
    return Part(name, pl.scan_parquet(path) if path.suffix == ".parquet" else _scan(path, name))


def _scan(path: Path, name: str) -> pl.LazyFrame:
    """The file's cells as trimmed text, null if empty; blank lines are counted but left out."""
    header, separator = _header(path, name)
    lines = pl.scan_csv(
        path,
        separator=separator,
        # One column more than the header has takes what a line with too many fields holds.
        schema={**dict.fromkeys(header, pl.String()), OVERFLOW: pl.String()},
        missing_columns="insert",
        truncate_ragged_lines=True,
        row_index_name=ROW,
        row_index_offset=1,
        raise_if_empty=False,
    )
    cells = pl.exclude(ROW).str.strip_chars()
    return (
        lines.with_columns(pl.when(cells != "").then(cells).name.keep())
        .filter(pl.any_horizontal(pl.exclude(ROW).is_not_null()))
        .rename({raw: raw.strip() for raw in header if raw.strip() != raw})
        .drop("", strict=False)  # a separator at the end of the header
    )


def _header(path: Path, name: str) -> tuple[list[str], str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            line = file.readline()
            separator = max(_SEPARATORS, key=line.count)
            file.seek(0)
            header = next(csv.reader(file, delimiter=separator), [])
    except UnicodeDecodeError as error:
        raise DataError(f"{name} is not UTF-8 ({error.reason}). Save it as CSV UTF-8.") from error
    if not header:
        raise DataError(f"{name} is empty. Write a header line, or leave the file away.")
    names = [column.strip() for column in header]
    twice = sorted({column for column in names if names.count(column) > 1})
    if twice:
        raise DataError(f"{name}: column {twice[0]!r} stands twice in the header. Rename one.")
    return header, separator


def _with_numbers(table: str, rows: pl.DataFrame) -> pl.DataFrame:
    """Attributes that are numbers in every row become numbers, so that filters compare them."""
    extras = [
        name
        for name in rows.columns
        if name not in TABLES[table].names and rows.schema[name] == pl.String
    ]
    numeric = [
        name
        for name in extras
        if rows[name].null_count() < rows.height and rows[name].str.contains(_PLAIN_NUMBER).all()
    ]
    return rows.with_columns(pl.col(numeric).cast(pl.Float64))


def _unused_files(folder: Path, found: Mapping[str, list[Path]]) -> list[str]:
    used = {path for paths in found.values() for path in paths}
    used |= {path.parent for path in used if path.parent != folder}
    here = set(folder.iterdir()) | {path for name in found for path in (folder / name).glob("*")}
    tables = [f"{name}.csv" for name in TABLES]
    return [
        f"{path.relative_to(folder).as_posix()} is not used: no table has that name"
        f"{_nearest(path.name, tables)}."
        for path in sorted(here - used)
        if not path.name.startswith(".")
    ]


def _unused_columns(parts: Mapping[str, list[Part]]) -> list[str]:
    notes = []
    for name, files in parts.items():
        table = TABLES[name]
        for part in files if not table.extras else ():
            known = {*table.names, ROW, OVERFLOW}
            unused = [column for column in read_schema(part) if column not in known]
            notes += [
                f"{part.file}: column {column} is not used{_nearest(column, table.names)}."
                for column in unused
            ]
    return notes


def _nearest(name: str, choices: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, choices, n=1, cutoff=0.75)
    return f" (nearest: {near[0]})" if near else ""
