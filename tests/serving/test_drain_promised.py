"""What the ledger knows reaches the dataset: whole, once, and without erased members."""

import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import polars as pl
import pytest

from recsys.dataset import Dataset
from serving.drain import drain
from serving.drain_promised import PROMISED, drain_promised
from serving.erasing import Erasures
from serving.feed import open_feed
from serving.feed.contract import Feed
from tests.serving.promised import BEGIN, promised

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
TABLES = ("pushes", "redemptions", "arms")


@pytest.fixture
async def feed(tmp_path: Path) -> AsyncIterator[Feed]:
    opened = await open_feed(str(tmp_path / "feed.db"))
    yield opened
    await opened.close()


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    (path := tmp_path / "dataset").mkdir()
    return path


def files(dataset: Path) -> dict[str, tuple[bytes, int]]:
    found = [dataset / table / PROMISED for table in TABLES]
    return {
        path.parent.name: (path.read_bytes(), path.stat().st_mtime_ns)
        for path in found
        if path.exists()
    }


async def test_the_dataset_reads_what_was_promised(feed: Feed, dataset: Path) -> None:
    await drain(feed, dataset, promised=lambda: promised(4))
    checked = Dataset(dataset)
    assert {table: checked.read(table).height for table in TABLES} == dict.fromkeys(TABLES, 4)
    assert checked.rejected == dict.fromkeys(TABLES, 0)
    arms = checked.read("arms").select("arm", "share", "epoch", "sent", "at")
    assert arms.row(1) == ("holdout", 0.5, 1, False, promised(4)["arms"]["at"][1])


async def test_the_same_again_leaves_the_same_files_and_more_replaces_them(
    feed: Feed, dataset: Path
) -> None:
    await drain(feed, dataset, promised=lambda: promised(4))
    first = files(dataset)
    await drain(feed, dataset, promised=lambda: promised(4))
    assert files(dataset) == first
    await drain(feed, dataset)  # the ledger is elsewhere
    assert files(dataset) == first
    await drain(feed, dataset, promised=lambda: promised(5))
    assert Dataset(dataset).read("arms").height == 5
    await drain(feed, dataset, promised=lambda: promised(4))
    assert {name: file for name, (file, _) in files(dataset).items()} == {
        name: file for name, (file, _) in first.items()
    }


async def test_it_stands_beside_what_was_imported(feed: Feed, dataset: Path) -> None:
    promised(2)["pushes"].write_parquet(dataset / "pushes.parquet")
    await drain(feed, dataset, promised=lambda: promised(3))
    assert Dataset(dataset).read("pushes").height == 5


async def test_an_erased_member_is_left_out_though_the_ledger_still_tells(
    feed: Feed, dataset: Path, tmp_path: Path
) -> None:
    until = round(BEGIN.timestamp() * 1_000_000) + 1
    for member in ("m0", "m1"):  # m1's push came later
        await feed.erase(member, event_id=member, until=until, now=until)
    for _ in range(2):
        await drain(feed, dataset, home=tmp_path, promised=lambda: promised(3))
        for table in TABLES:
            assert Dataset(dataset).read(table)["member_id"].to_list() == ["m1", "m2"]


def test_a_kill_leaves_whole_files_and_the_next_drain_mends(dataset: Path, tmp_path: Path) -> None:
    drain_promised(promised(4), dataset, Erasures(dataset, None))
    old = files(dataset)
    (out := tmp_path / "out").mkdir()
    script = [sys.executable, "-m", "tests.serving.kill_promised", str(dataset), str(out)]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    folders = sorted(out.iterdir())
    assert before == after == len(folders) / 2 > 9
    drain_promised(promised(9), dataset, Erasures(dataset, None))
    new = files(dataset)
    seen = set()
    for folder in folders:
        left = {name: file for name, (file, _) in files(folder).items()}
        state = tuple(
            "old" if left[name] == old[name][0] else "new" if left[name] == new[name][0] else "torn"
            for name in TABLES
        )
        seen.add(state)
        assert {pl.read_parquet(folder / name / PROMISED).height for name in TABLES} <= {4, 9}
        drain_promised(promised(9), folder, Erasures(folder, None))
        assert {name: file for name, (file, _) in files(folder).items()} == {
            name: file for name, (file, _) in new.items()
        }
    assert seen == {tuple(["new"] * done + ["old"] * (3 - done)) for done in range(4)}
