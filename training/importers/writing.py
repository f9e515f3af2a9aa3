"""Checked tables into a dataset's folder, whole or not at all."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from recsys.dataset.checks import REJECTS, Part, check
from recsys.dataset.dataset import ORIGIN
from recsys.dataset.files import write_parquet
from recsys.dataset.tables import TABLES
from recsys.errors import DataError

FORMAT = 1
PART_ROWS = 2_000_000
"""Rows in one part of the events: to erase a member rewrites only the parts that hold them."""
_FEED_PARTS = "feed-*.parquet"  # written by a drain, and by nothing else


@dataclass(frozen=True, slots=True)
class TableReport:
    """What became of one table's rows."""

    table: str
    rows: int
    rejects: int
    reasons: tuple[tuple[str, str, int], ...]
    """column, rule and number of rows, the most frequent first"""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What an import wrote, for the screen."""

    out: Path
    tables: tuple[TableReport, ...]
    notes: tuple[str, ...]

    @property
    def rows(self) -> int:
        """Rows kept, over all tables."""
        return sum(table.rows for table in self.tables)

    @property
    def rejects(self) -> int:
        """Rows set aside, over all tables; they are in rejects.parquet."""
        return sum(table.rejects for table in self.tables)


def write_dataset(
    out: Path,
    tables: Iterable[tuple[str, Sequence[Part]]],
    *,
    importer: str,
    timezone: str | None,
    max_rejects: float,
    static: Mapping[str, Sequence[str]] | None = None,
    refine: Callable[[str, pl.DataFrame], pl.DataFrame] = lambda _, rows: rows,
    notes: Sequence[str] = (),
    progress: Callable[[str], None] = lambda _: None,
) -> ImportReport:
    """Check each table and write it; `out` appears or is replaced only when all are written.

    `static` names attributes beyond the declared ones that hold at any instant; `refine` may
    change a table's good rows; `progress` hears each table's name before its work. Raises
    DataError if a table is refused or `out` holds something else, OSError if the disk is full.
    """
    if not 0 <= max_rejects <= 1:
        raise DataError(f"max-rejects is a share from 0 to 1, not {max_rejects:g}.")
    reports, rejects = [], [REJECTS.to_frame()]
    with replacing(out) as folder:
        for name, parts in tables:
            progress(name)
            checked = check(TABLES[name], parts, timezone=timezone, max_rejects=max_rejects)
            good = refine(name, checked.good)
            if name == "events" and good.is_empty():
                raise DataError(
                    f"{', '.join(part.file for part in parts)}: there is no event to learn from. "
                    "Write at least one row under the header."
                )
            _write_table(folder, name, good)
            rejects.append(checked.rejects)
            reports.append(_report(name, good.height, checked.rejects))
        write_parquet(pl.concat(rejects), folder / "rejects.parquet")
        origin = {
            "format": FORMAT,
            "importer": importer,
            "timezone": timezone or "UTC",
            "static": {table: sorted(names) for table, names in (static or {}).items()},
            "tables": {r.table: {"rows": r.rows, "rejects": r.rejects} for r in reports},
        }
        text = json.dumps(origin, indent=2, sort_keys=True)
        (folder / ORIGIN).write_text(text + "\n", encoding="utf-8")
    return ImportReport(out, tuple(reports), tuple(notes))


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """A temporary folder beside `out` that takes its place if the block ends well.

    What was drained into an older import at `out` is carried over: the feed does not send it
    again. Only between two renames at the very end is there no `out`: the older import is then
    beside it, and the next import puts it back first.
    """
    if _before(out).exists() and not out.exists():
        _before(out).rename(out)
    _refuse_foreign(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.importing-", dir=out.parent))
    try:
        folder.chmod(0o755)  # mkdtemp makes it private
        yield folder
        _carry_feed_parts(out, folder)
        _flush(folder)
        _swap(folder, out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _refuse_foreign(out: Path) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise DataError(f"{out} is a file. Name a folder that is new or empty.")
    if any(out.iterdir()) and not (out / ORIGIN).is_file():
        raise DataError(
            f"{out} is not empty, and no import made it. Name a folder that is new or empty."
        )


def _carry_feed_parts(old: Path, new: Path) -> None:
    for part in old.glob(f"*/{_FEED_PARTS}"):
        target = new / part.relative_to(old)
        target.parent.mkdir(exist_ok=True)
        if not target.exists():
            try:
                target.hardlink_to(part)
            except OSError:  # a file system without hard links
                shutil.copy2(part, target)


def _swap(folder: Path, out: Path) -> None:
    if not out.exists():
        folder.rename(out)
        return
    before = _before(out)
    shutil.rmtree(before, ignore_errors=True)
    out.rename(before)
    try:
        folder.rename(out)
    except OSError:
        before.rename(out)
        raise
    _carry_feed_parts(before, out)  # what a drain wrote while we were flushing
    shutil.rmtree(before)


def _before(out: Path) -> Path:
    return out.with_name(f".{out.name}.before-import")


def _flush(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _write_table(folder: Path, name: str, rows: pl.DataFrame) -> None:
    if name != "events":
        write_parquet(rows, folder / f"{name}.parquet")
        return
    (folder / name).mkdir()
    for number, part in enumerate(rows.iter_slices(PART_ROWS)):
        write_parquet(part, folder / name / f"import-{number:04d}.parquet")


def _report(name: str, rows: int, rejects: pl.DataFrame) -> TableReport:
    reasons = (
        rejects.group_by("column", "rule", maintain_order=True)
        .len()
        .sort("len", descending=True, maintain_order=True)
    )
    return TableReport(name, rows, rejects.height, tuple(reasons.iter_rows()))
