"""guesslike serve, drain and recommend: the service, and the present into the dataset."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, cast

import msgspec
import typer
from fastapi import APIRouter, FastAPI
from rich.console import Console
from rich.table import Table
from rich.text import Text

from recsys.coupons import Terms
from serving import drain as draining
from serving import explain as explaining
from serving import logs, process
from serving.app import Service, create_app
from serving.asking import Request
from serving.doors.door import check_address
from serving.drain_promised import Promised
from serving.eligibility import Held
from serving.feed import check_numbers, open_feed
from serving.feed.contract import Recent, RecentEvent
from serving.metrics import SHARED
from serving.models import open_current
from serving.placements_file import load_placements
from serving.ranker import Ranker
from serving.recommend import recommend
from serving.rotation import rotated
from serving.schemas import Item
from serving.settings import ServingSettings
from serving.workers import supervise

META = "guesslike.serving"

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Clock = Annotated[
    str | None, typer.Option("--clock", metavar="INSTANT", help="Start the clock there, ISO 8601.")
]


@dataclass(frozen=True, slots=True)
class Composition:
    """What these commands need from outside, under META in the context's `meta`."""

    settings: ServingSettings
    folder: Path
    models: Path
    terms: Terms
    clock: Callable[[str | None], Callable[[], datetime]]
    """makes a clock that starts at an instant, or the system's"""
    pages: Callable[[Callable[[], datetime], bool], APIRouter]
    """what others answer in this process, under a clock and whether that clock is simulated"""
    forget: Callable[[Callable[[], datetime], bool], Callable[[str], None]]
    """makes others forget a member, likewise"""
    held: Callable[[Callable[[], datetime], bool], Callable[[str], Held]]
    """what others know of a member's coupons, likewise"""
    promised: Promised
    """what others know of pushes, by table of the dataset"""
    worker: Callable[[str | None, float], FastAPI]
    """makes the whole service in a new process: the clock's start, and the monotonic second at
    which it began to tick; a function that is found by its name"""
    export: Callable[[str, str], None]
    """says a name and a value to the processes that are started from here"""

    @property
    def feed_url(self) -> str:
        """Where the feed is."""
        return self.settings.feed_url or str(self.folder / "feed.db")

    def app(
        self, now: Callable[[], datetime], *, simulated: bool, has_doors: bool = True
    ) -> FastAPI:
        """The whole service under a clock, behind the doors that the folder's keys open."""
        folder = self.folder if has_doors else None
        forget, held = self.forget(now, simulated), self.held(now, simulated)
        service = Service(
            self.models, self.feed_url, self.settings, self.terms, now, folder, forget, held
        )
        app = create_app(service)
        app.include_router(self.pages(now, simulated))
        return app


app = typer.Typer(no_args_is_help=True)


@app.command("serve")
def serve_command(
    ctx: typer.Context,
    clock: Clock = None,
    workers: Annotated[
        int | None, typer.Option(min=1, max=256, help="Processes that answer on the one port.")
    ] = None,
) -> None:
    """Answer over HTTP until stopped. Takes up a newly published model by itself."""
    at = composition(ctx)
    check_address(at.settings.host, at.folder)
    now, begun = at.clock(clock), time.monotonic()
    asyncio.run(_try_out(at))  # a clear message now instead of a traceback in the server
    logs.configure(at.settings.log_format)
    with process.listen(at.settings) as listener:
        if (many := workers or at.settings.workers) == 1:
            process.answer(at.app(now, simulated=clock is not None), listener, at.settings)
            return
        with _shared_numbers() as folder:
            at.export(SHARED, folder)
            make = partial(at.worker, clock, begun)
            code = supervise(make, listener, at.settings, workers=many, numbers=folder)
    raise typer.Exit(code)


@app.command("drain")
def drain_command(ctx: typer.Context, dataset: Path, as_json: Json = False) -> None:
    """Move what the feed holds into the dataset: each event once, whatever is killed."""
    parts = asyncio.run(drained(composition(ctx), dataset))
    if as_json:
        _print_json({"parts": [asdict(part) for part in parts]})
        return
    for part in parts:
        name = f"{part.path.parent.name}/{part.path.name}"
        print_line(f"{name}: numbers {part.held.start} to {part.held.stop}")
    if not parts:
        print_line("No new events in the feed.")


@app.command("recommend")
def recommend_command(
    ctx: typer.Context,
    member: Annotated[str, typer.Option("--member")],
    limit: Annotated[int, typer.Option(min=1, max=100)] = 10,
    explain: Annotated[bool, typer.Option(help="What each score is made of.")] = False,
    clock: Clock = None,
    as_json: Json = False,
) -> None:
    """What the home page would show a member now, and why."""
    at = composition(ctx)
    now = at.clock(clock)()
    ranker = Ranker(open_current(at.models))
    recent = asyncio.run(_recent(at, ranker, member))
    asked = home(None if recent.hidden else member, at.settings, limit=limit, now=now)
    down = rotated(asked.placement.rotation, recent, asked.now)
    asked = msgspec.structs.replace(asked, rotated=down)
    explained = explaining.explain(ranker, asked, recent.events)
    facts = [
        _plain(ranker, item) | ({"parts": asdict(parts)} if explain else {})
        for item, parts in explained
    ]
    if as_json:
        version = ranker.model.version
        _print_json({"member_id": member, "model_version": version, "items": facts})
        return
    if not explain:
        for place, one in enumerate(facts, start=1):
            print_line(f"{place:3} {one['title']}: {one['reason']}")
        return
    known = not recent.hidden and ranker.model.members.row(member) is not None
    print_line(f"{member}: {'known to' if known else 'not in'} model {ranker.model.version}")
    Console(soft_wrap=True).print(_table(facts))


def home(member: str | None, settings: ServingSettings, *, limit: int, now: datetime) -> Request:
    """A request for a member's home placement, outside of HTTP."""
    return Request(
        member_id=member,
        placement=load_placements(settings.placements).named["home"],
        seeds=[],
        excluded=[],
        limit=limit,
        now=round(now.timestamp() * 1_000_000),
        rest_hours=settings.rest_hours,
    )


def home_list(
    ranker: Ranker, member: str, settings: ServingSettings, recent: list[RecentEvent], *,
    limit: int, now: datetime,
) -> list[Item]:  # fmt: skip
    """A member's home placement, outside of HTTP."""
    return recommend(ranker, home(member, settings, limit=limit, now=now), recent)


async def drained(at: Composition, dataset: Path) -> list[draining.Part]:
    """Open the feed, drain it, close it."""
    feed = await open_feed(at.feed_url, shards=at.settings.feed_shards)
    try:
        return await draining.drain(feed, dataset, home=at.folder, promised=at.promised)
    finally:
        await feed.close()


async def trimmed(at: Composition, kept: dict[int, int], *, now: datetime) -> None:
    """Forget what every kept model contains; `kept` by shard."""
    feed = await open_feed(at.feed_url, shards=at.settings.feed_shards)
    try:
        for shard, last in kept.items():
            await feed.trim(shard, last, now=round(now.timestamp() * 1_000_000))
    finally:
        await feed.close()


def composition(ctx: typer.Context) -> Composition:
    """What the composition handed in."""
    return cast(Composition, ctx.meta[META])


def print_line(text: str) -> None:
    """One line for a person."""
    Console(soft_wrap=True).print(text, markup=False)


@contextmanager
def _shared_numbers() -> Iterator[str]:
    """A folder for the workers' counters, in memory where the system has such a one: a full disk
    must not end a worker that counts."""
    memory = Path("/dev/shm")
    where = memory if memory.is_dir() and os.access(memory, os.W_OK) else None
    with TemporaryDirectory(prefix="guesslike-metrics-", dir=where) as folder:
        yield folder


async def _try_out(at: Composition) -> None:
    """Open what the service will open, and close it again."""
    model = open_current(at.models)
    load_placements(at.settings.placements).check(model)
    feed = await open_feed(at.feed_url, shards=at.settings.feed_shards)
    try:
        await check_numbers(feed, model)
    finally:
        await feed.close()


async def _recent(at: Composition, ranker: Ranker, member: str) -> Recent:
    feed = await open_feed(at.feed_url, shards=at.settings.feed_shards)
    try:
        after = ranker.model.feed_sequences
        return await feed.recent(f"m:{member}", after=after, limit=50, shown=True)
    finally:
        await feed.close()


def _plain(ranker: Ranker, item: Item) -> dict[str, Any]:
    row = ranker.model.products.row(item.product_id)
    title = "" if row is None else ranker.model.titles[row]
    return {
        "product_id": item.product_id,
        "title": title or item.product_id,
        "score": item.score,
        "source": item.source,
        "reason": item.reason.text,
    }


_PARTS = ("standing", "clock", "session", "boost", "rotation")


def _table(facts: list[dict[str, Any]]) -> Table:
    table = Table(caption=f"score = {' + '.join(_PARTS)}; listed: place in the model's list")
    table.add_column("product")
    for name in ("score", *_PARTS, "chance", "listed"):
        table.add_column(name, justify="right")
    table.add_column("source: reason")
    for one in facts:
        parts = one["parts"]
        table.add_row(
            Text(one["title"]),
            f"{one['score']:.2f}",
            *(f"{parts[name]:+.2f}" for name in _PARTS),
            f"{parts['chance']:.1%}",
            "–" if parts["place"] is None else str(parts["place"]),
            Text(f"{one['source']}: {one['reason']}"),
        )
    return table


def _print_json(facts: dict[str, Any]) -> None:
    typer.echo(json.dumps(facts, ensure_ascii=False, default=str))
