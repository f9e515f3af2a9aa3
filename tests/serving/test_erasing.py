"""Identifications and erasures reach the dataset, whatever dies in between."""

import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.dataset import TABLES, Dataset
from recsys.errors import AccessError
from recsys.identities import ERASED, identified
from serving.drain import drain
from serving.erasing import HAPPENED
from serving.erasure_key import FILE
from serving.feed import open_feed
from serving.feed.contract import Event, Feed
from training.importers.csv import import_csv
from training.shop import load

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
BEGIN = datetime(2027, 1, 15, tzinfo=UTC)
NOW = round(BEGIN.timestamp() * 1_000_000)
HOUR = 3_600_000_000


def event(number: int, *, member: str | None = None, visitor: str | None = None) -> Event:
    """It happened `number` hours from the begin."""
    return Event(f"e{number}", "view", NOW + number * HOUR, f"p{number}", member, visitor)


async def login(feed: Feed, visitor: str, member: str, at: int) -> None:
    event_id = f"login-{visitor}-{member}-{at}"
    assert await feed.identify(visitor, member, event_id=event_id, now=NOW + at * HOUR)


async def erase(feed: Feed, member: str, at: int) -> None:
    instant = NOW + at * HOUR
    await feed.erase(member, event_id=f"erase-{member}-{at}", until=instant, now=instant)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    path = tmp_path / "dataset"
    path.mkdir()
    return path


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
async def one_file(tmp_path: Path) -> AsyncIterator[Feed]:
    feed = await open_feed(str(tmp_path / "feed.db"))
    yield feed
    await feed.close()


def owners(dataset: Path) -> dict[str, str | None]:
    """Whose each event is, as training reads it."""
    tables = Dataset(dataset)
    rows = identified(tables.read("events"), tables.read("identities"))
    return dict(zip(rows["event_id"], rows["member_id"], strict=True))


def write(dataset: Path, table: str, **columns: list[Any]) -> None:
    pl.DataFrame(columns).write_parquet(dataset / f"{table}.parquet")


def texts(dataset: Path) -> str:
    """All that a reader finds in the dataset's files."""
    found = [pl.read_parquet(path).write_json() for path in sorted(dataset.rglob("*.parquet"))]
    return "\n".join(found)


async def test_identifications_become_a_part_and_training_knows_whose_events_were(
    feed: Feed, dataset: Path
) -> None:
    await feed.append([event(1, visitor="v"), event(2, member="ann")], now=NOW)
    await login(feed, "v", "ann", 3)
    await feed.append([event(4, visitor="v"), event(5, visitor="w")], now=NOW)
    await drain(feed, dataset)
    await login(feed, "v", "bob", 6)
    await feed.append([event(7, visitor="v")], now=NOW)
    await drain(feed, dataset)
    assert await drain(feed, dataset) == []
    identities = Dataset(dataset).read("identities").sort("at")
    assert identities.rows() == [
        ("v", "ann", BEGIN + timedelta(hours=3)),
        ("v", "bob", BEGIN + timedelta(hours=6)),
    ]
    assert owners(dataset) == {"e1": "ann", "e2": "ann", "e4": "ann", "e5": None, "e7": "bob"}
    last = await feed.last_sequences()
    held = Dataset(dataset).feed_sequences()
    assert held == {shard: stop for shard, stop in last.items() if stop}
    shop = load(Dataset(dataset))
    assert shop.member_ids == ["ann", "bob"]
    assert len(shop.history.products) == 4


async def test_an_erased_member_leaves_every_table(feed: Feed, dataset: Path, home: Path) -> None:
    early, late = BEGIN - timedelta(days=9), BEGIN + timedelta(days=9)
    who = ["ann", "bob"]
    write(dataset, "events", product_id=["p", "q"], kind=["view"] * 2, occurred_at=[early] * 2,
          member_id=who, shelf=[7, 8])  # fmt: skip
    write(dataset, "identities", visitor_id=["old", "old"], member_id=who,
          at=[early, early + timedelta(hours=1)])  # fmt: skip
    write(dataset, "members", member_id=[*who, "ann"], joined_at=[early, early, late])
    write(dataset, "pushes", member_id=who, campaign_id=["c"] * 2, sent_at=[early] * 2)
    write(dataset, "redemptions", member_id=who, coupon_id=["c"] * 2, redeemed_at=[early] * 2)
    write(dataset, "arms", member_id=who, campaign_id=["c"] * 2, at=[early] * 2,
          arm=["treat"] * 2, share=[0.1] * 2)  # fmt: skip
    write(dataset, "impressions", request_id=["r", "s"], member_id=who, placement=["home"] * 2,
          product_ids=[["p"], ["q"]], shown_at=[early] * 2)  # fmt: skip
    await feed.append([event(1, visitor="v"), event(2, member="ann")], now=NOW)
    await feed.append([event(-999, visitor="old")], now=NOW)
    await login(feed, "v", "ann", 3)
    await drain(feed, dataset, home=home)
    assert "ann" in texts(dataset)
    await feed.append(
        [event(4, member="ann"), event(5, visitor="v"), event(6, member="bob")], now=NOW
    )
    await erase(feed, "ann", 7)
    await feed.append([event(8, visitor="v"), event(9, member="ann")], now=NOW)
    await login(feed, "v", "bob", 10)
    await feed.append([event(11, visitor="v")], now=NOW)
    await drain(feed, dataset, home=home)

    tables = Dataset(dataset)
    for table in HAPPENED.keys() - {"events", "identities", "members"}:
        assert tables.read(table)["member_id"].to_list() == ["bob"], table
    assert tables.read("members").sort("joined_at")["joined_at"].to_list() == [early, late]
    found = owners(dataset)
    assert found.pop(None) == "bob", "the imported one"  # type: ignore[call-overload]
    assert found == {"e6": "bob", "e9": "ann", "e11": "bob"}
    hidden = tables.read("identities").filter(pl.col("member_id").str.contains(ERASED))
    assert sorted(hidden["visitor_id"]) == ["old", "v"]
    assert pl.read_parquet(dataset / "events.parquet")["shelf"].to_list() == [8]
    (remembered,) = set(tables.read("erasures")["member_hash"])
    assert f"erased:{remembered}" in set(hidden["member_id"])
    assert load(tables).member_ids == ["ann", "bob"], "ann came back"


async def test_what_an_import_brings_back_goes_with_the_next_drain(
    one_file: Feed, dataset: Path, home: Path, tmp_path: Path
) -> None:
    export = tmp_path / "export"
    export.mkdir()
    rows = "".join(f"{who},p,purchase,2027-01-01T10:00Z\n" for who in ("ann", "bob"))
    (export / "events.csv").write_text("member_id,product_id,kind,occurred_at\n" + rows)
    (export / "identities.csv").write_text("visitor_id,member_id,at\nv,ann,2027-01-01T09:00Z\n")
    dataset.rmdir()
    import_csv(export, dataset)
    await erase(one_file, "ann", 1)
    for _ in range(2):
        await drain(one_file, dataset, home=home)
        assert Dataset(dataset).read("events")["member_id"].to_list() == ["bob"]
        assert "ann" not in texts(dataset)
        import_csv(export, dataset)
        assert "ann" in texts(dataset)
        assert Dataset(dataset).has("erasures"), "an import keeps what was drained"


async def test_files_without_erased_members_are_left_alone(
    one_file: Feed, dataset: Path, home: Path
) -> None:
    await one_file.append([event(1, member="bob")], now=NOW)
    await drain(one_file, dataset, home=home)
    before = {path: path.stat().st_ino for path in dataset.rglob("*.parquet")}
    await erase(one_file, "ann", 2)
    await drain(one_file, dataset, home=home)
    await drain(one_file, dataset, home=home)
    after = {path: path.stat().st_ino for path in dataset.rglob("*.parquet")}
    assert {path: after[path] for path in before} == before


async def test_another_key_is_refused(one_file: Feed, dataset: Path, home: Path) -> None:
    await erase(one_file, "ann", 1)
    await drain(one_file, dataset, home=home)
    (home / FILE).rename(home / "backup")
    with pytest.raises(AccessError, match=r"erasures\.json is another key .* from its backup"):
        await drain(one_file, dataset, home=home)
    (home / "backup").rename(home / FILE)
    assert (home / FILE).stat().st_mode & 0o077 == 0
    assert await drain(one_file, dataset, home=home) == []


def test_every_table_that_names_members_is_covered() -> None:
    named = {name for name, table in TABLES.items() if "member_id" in table.names}
    assert set(HAPPENED) == named
    assert all(set(times) <= set(TABLES[name].names) for name, times in HAPPENED.items())


@pytest.mark.slow
async def test_a_kill_at_any_step_leaves_what_the_next_drain_finishes(
    tmp_path: Path, dataset: Path
) -> None:
    start = tmp_path / "start"
    start.mkdir()
    dataset.rename(start / "dataset")
    dataset = start / "dataset"
    write(dataset, "events", product_id=["p", "q"], kind=["view"] * 2, occurred_at=[BEGIN] * 2,
          member_id=["ann", "bob"], event_id=["x", "y"])  # fmt: skip
    write(dataset, "members", member_id=["ann", "bob"])
    feed = await open_feed(str(start / "feed.db"))
    await feed.append([event(1, visitor="v"), event(2, member="ann")], now=NOW)
    await login(feed, "v", "ann", 3)
    await drain(feed, dataset, home=start / "home")
    await feed.append([event(4, visitor="v"), event(5, member="bob")], now=NOW)
    await login(feed, "w", "bob", 5)
    await erase(feed, "ann", 6)
    await feed.append([event(7, visitor="w")], now=NOW)
    await feed.close()
    expected = {"y": "bob", "e5": "bob", "e7": "bob"}

    out = tmp_path / "out"
    out.mkdir()
    script = [sys.executable, "-m", "tests.serving.kill_erasing", str(start), str(out)]
    done = subprocess.run(script, cwd=ROOT, capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    folders = sorted(out.iterdir())
    assert before == after == len(folders) / 2 > 20
    for folder in folders:
        found = Dataset(folder / "dataset")
        if found.feed_sequences() == {0: 8}:
            assert owners(folder / "dataset") == expected, f"a model would know, {folder.name}"
        feed = await open_feed(str(folder / "feed.db"))
        await drain(feed, folder / "dataset", home=folder / "home")
        await feed.close()
        assert found.feed_sequences() == {0: 8}
        assert owners(folder / "dataset") == expected, folder.name
        assert found.read("identities").height == 2
        assert found.read("members")["member_id"].to_list() == ["bob"]
        assert "ann" not in texts(folder / "dataset")
        assert not list((folder / "dataset").rglob(".*"))
        shutil.rmtree(folder)
