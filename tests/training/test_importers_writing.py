import errno
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from recsys.dataset import Dataset, Part
from recsys.errors import DataError
from training.importers import ImportReport
from training.importers.writing import replacing, write_dataset

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def events(*ids: str) -> Part:
    frame = pl.DataFrame(
        {"event_id": ids, "product_id": "p", "kind": "view", "occurred_at": NOON},
    )
    return Part("events", frame.lazy())


def write(out: Path, *parts: Part) -> ImportReport:
    tables = [("events", parts)]
    return write_dataset(out, tables, importer="test", timezone=None, max_rejects=0.01)


def ids(out: Path) -> list[str]:
    return Dataset(out).read("events")["event_id"].sort().to_list()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_dataset_appears_with_its_origin_and_rejects(tmp_path: Path) -> None:
    report = write(tmp_path / "deep" / "out", events("a", "b"))
    assert names(report.out) == ["dataset.json", "events", "rejects.parquet"]
    assert names(report.out.parent) == ["out"]
    assert Dataset(report.out).origin()["importer"] == "test"
    assert Dataset(report.out).origin()["tables"] == {"events": {"rows": 2, "rejects": 0}}


def test_an_older_import_is_replaced_whole(tmp_path: Path) -> None:
    write(tmp_path / "out", events("a"))
    (tmp_path / "out" / "coupons.parquet").write_bytes(b"old")
    write(tmp_path / "out", events("b"))
    assert ids(tmp_path / "out") == ["b"]
    assert names(tmp_path / "out") == ["dataset.json", "events", "rejects.parquet"]
    assert names(tmp_path) == ["out"]


def test_drained_events_outlive_a_new_import(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, events("a"))
    events("drained").rows.collect().write_parquet(out / "events" / "feed-0-1-1.parquet")
    (out / "products").mkdir()
    told = out / "products" / "feed-told.parquet"
    pl.DataFrame({"product_id": ["new"]}).write_parquet(told)
    with replacing(out) as folder:
        (folder / "dataset.json").write_text("{}")
        # A drain in another process finds the old folder until the last moment.
        events("late").rows.collect().write_parquet(out / "events" / "feed-0-2-2.parquet")
    assert ids(out) == ["drained", "late"]
    assert Dataset(out).feed_sequences() == {0: 2}
    assert Dataset(out).read("products")["product_id"].to_list() == ["new"]


def test_other_peoples_folders_are_not_touched(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    with pytest.raises(DataError, match=r"out is not empty, and no import made it\. Name a folder"):
        write(tmp_path / "out", events("a"))
    assert names(tmp_path / "out") == ["thesis.txt"]
    with pytest.raises(DataError, match=r"thesis\.txt is a file"):
        write(tmp_path / "out" / "thesis.txt", events("a"))


def test_an_empty_folder_is_taken(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write(tmp_path / "out", events("a"))
    assert ids(tmp_path / "out") == ["a"]
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
def test_whatever_ends_an_import_early_leaves_the_old_one_alone(
    tmp_path: Path, error: BaseException
) -> None:
    out = tmp_path / "out"
    write(out, events("a"))

    def stop(table: str) -> None:
        if table == "coupons":
            raise error

    coupons = Part("coupons", pl.LazyFrame({"coupon_id": ["c"]}))
    with pytest.raises(type(error)):
        write_dataset(
            out,
            [("events", [events("b")]), ("coupons", [coupons])],
            importer="test",
            timezone=None,
            max_rejects=0,
            progress=stop,
        )
    assert names(tmp_path) == ["out"]
    assert ids(out) == ["a"]


FILL_THE_DISK = """
import resource, sys
from pathlib import Path
import polars as pl
from recsys.dataset import Part
from training.importers.writing import write_dataset

resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
n = 200_000
frame = pl.DataFrame({"product_id": [str(i * 7919) for i in range(n)], "kind": "view",
                      "occurred_at": "2024-05-01T10:00Z"})
try:
    write_dataset(Path(sys.argv[1]), [("events", [Part("e", frame.lazy())])],
                  importer="test", timezone=None, max_rejects=0)
except OSError as error:
    sys.exit(f"OSError {error.errno} {error.filename}")
"""


def test_a_file_that_cannot_grow_is_an_os_error_and_leaves_nothing(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FILL_THE_DISK, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"OSError {errno.EFBIG} ")
    assert "events/import-0000.parquet" in ended.stderr
    assert names(tmp_path) == []


STOP_BETWEEN_RENAMES = """
import os, sys
from pathlib import Path
from training.importers import writing

out = Path(sys.argv[1])
rename = Path.rename
def stop(self, target):
    if Path(target) == out:
        os.kill(os.getpid(), 9)
    return rename(self, target)
Path.rename = stop
with writing.replacing(out) as folder:
    (folder / "dataset.json").write_text("{}")
"""


def test_a_kill_between_the_last_renames_is_mended_by_the_next_import(tmp_path: Path) -> None:
    out = tmp_path / "out"
    write(out, events("a"))
    events("drained").rows.collect().write_parquet(out / "events" / "feed-0-1-1.parquet")
    ended = subprocess.run(
        [sys.executable, "-c", STOP_BETWEEN_RENAMES, str(out)],
        check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
    )
    assert ended.returncode == -9
    assert not out.exists()
    write(out, events("b"))
    assert ids(out) == ["b", "drained"]
