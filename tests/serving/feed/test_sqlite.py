"""What only a file can get wrong."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from recsys.errors import FeedError
from serving.feed import open_feed
from serving.feed.contract import Appended, Event
from serving.feed.impressions import Impression
from serving.feed.news import ProductChange, ProductNews
from serving.feed.sqlite_file import SCHEMA_VERSION

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[3]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def view(event_id: str) -> Event:
    return Event(event_id, "view", 1, product_id="p", member_id="ann")


def statements(path: Path, *lines: str) -> None:
    connection = sqlite3.connect(path)
    for line in lines:
        connection.execute(line)
    connection.commit()
    connection.close()


WITH_SUBJECTS = (
    "ALTER TABLE event ADD COLUMN subject TEXT",
    "UPDATE event SET subject = 'm:ann'",
    "CREATE INDEX event_subject ON event (subject) WHERE subject IS NOT NULL",
)
"""the table of events up to version 4"""


async def test_another_programs_file_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "shop.db"
    statements(path, "CREATE TABLE orders (id)", "INSERT INTO orders VALUES (1)")
    before = path.read_bytes()
    with pytest.raises(FeedError, match=r"shop\.db is another program's .* name another file"):
        await open_feed(str(path))
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["shop.db"]


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.db"
    path.write_text("no database " * 100)
    with pytest.raises(FeedError, match=r"notes\.db .* no SQLite file"):
        await open_feed(str(path))


@pytest.mark.parametrize(
    ("version", "later"),
    [
        (1, ("recent", "impressions", "shown", "mark_of", "erased", "counts", "news")),
        (2, ("recent", "impressions", "shown", "mark_of", "erased", "counts")),
        (3, ("recent", "impressions", "shown")),
        (4, ("recent",)),
    ],
)
async def test_a_file_of_an_older_schema_is_brought_up_to_date(
    tmp_path: Path, version: int, later: tuple[str, ...]
) -> None:
    path = tmp_path / "feed.db"
    feed = await open_feed(str(path))
    await feed.append([view("e1")], now=1)
    latest = (await feed.recent("m:ann", after={}, limit=9)).events
    await feed.close()
    gone = (f"DROP TABLE {name}" for name in later)
    statements(path, *gone, *WITH_SUBJECTS, f"PRAGMA user_version = {version}")
    feed = await open_feed(str(path))
    assert len(latest) == 1
    assert (await feed.recent("m:ann", after={}, limit=9)).events == latest
    assert await feed.append([view("e1"), view("e2")], now=1) == Appended(1, 1)
    await feed.tell([ProductChange("p", {"in_stock": False})])
    assert (await feed.told(after=0))[1] == [ProductNews("p", in_stock=False)]
    assert await feed.identify("v", "ann", event_id="i", now=1)
    assert await feed.exchange(b"a", after=None) == (1, [])
    await feed.show([Impression("r", "ann", None, "home", ["p"], 1)], [])
    assert await feed.last_impressions() == {0: 1}
    await feed.close()


async def test_a_newer_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "feed.db"
    await (await open_feed(str(path))).close()
    statements(path, f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(FeedError, match=f"schema {SCHEMA_VERSION + 1}, .* version of Guesslike"):
        await open_feed(str(path))


async def test_a_file_where_the_folder_should_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "var").write_text("")
    with pytest.raises(FeedError, match=r"var/feed\.db cannot be made"):
        await open_feed(str(tmp_path / "var" / "feed.db"))
    with pytest.raises(FeedError, match="writable"):
        await open_feed(str(tmp_path))


async def test_reads_and_the_loop_go_on_while_another_process_writes(tmp_path: Path) -> None:
    feed = await open_feed(str(tmp_path / "feed.db"))
    await feed.append([view("e1")], now=1)
    other = sqlite3.connect(tmp_path / "feed.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(feed.append([view("e2")], now=1))
    for _ in range(20):
        await asyncio.sleep(0.01)
        assert len((await feed.recent("m:ann", after={}, limit=9)).events) == 1
    assert not waiting.done()
    other.execute("ROLLBACK")
    other.close()
    assert await waiting == Appended(1, 0)
    await feed.close()


async def test_closing_waits_for_what_is_being_stored(tmp_path: Path) -> None:
    feed = await open_feed(str(tmp_path / "feed.db"))
    waiting = asyncio.create_task(feed.append([view("e1")], now=1))
    await asyncio.sleep(0)
    await feed.close()
    assert await waiting == Appended(1, 0)


FULL = """
import asyncio, json, resource, signal, sys
from recsys.errors import FeedError
from serving.feed import open_feed
from serving.feed.contract import Event

async def main(path):
    # No file may grow beyond this: the disk is full from some append on.
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    feed = await open_feed(path)
    stored = []
    for n in range(1000):
        batch = [Event(f"{n}-{i}", "search", 1, query="q" * 500, member_id="m") for i in range(9)]
        try:
            await feed.append(batch, now=1)
        except FeedError as error:
            message = str(error)
            break
        stored += [event.event_id for event in batch]
    recent = len((await feed.recent("m:m", after={}, limit=5)).events)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)
    again = (await feed.append(batch, now=1)).new
    stored += [event.event_id for event in batch]
    await feed.close()
    print(json.dumps([message, stored, recent, again]))

asyncio.run(main(sys.argv[1]))
"""


async def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path) -> None:
    path = str(tmp_path / "feed.db")
    run = [sys.executable, "-c", FULL, path]
    out = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    message, stored, recent, again = json.loads(out)
    assert "disk is full" in message
    assert path in message
    assert (recent, again) == (5, 9)
    feed = await open_feed(path)
    kept = await feed.read(0, 1, 10_000)
    assert [event.event_id for _, event in kept] == stored
    await feed.close()
