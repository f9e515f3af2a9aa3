"""What is answered is written down, counts in every worker, and makes room for other products."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from recsys.dataset import Dataset
from serving.drain import drain
from serving.feed import open_feed
from serving.feed.contract import Feed
from serving.feed.impressions import Impression
from serving.impressions import BATCH, WAITING, Answered, Impressions
from serving.metrics import Metrics
from serving.picks import Pick
from serving.rotation import Rotation
from serving.watched import WatchedFeed
from tests.redis_server import RedisServer
from tests.serving.live import (
    NOW,
    RECOMMENDATIONS,
    Clock,
    event,
    in_process,
    items,
    products,
    send,
    service,
)
from tests.serving.served import Served, eventually, served
from tests.serving.test_metrics import value
from tests.serving.test_recommend import ranker_at
from tests.small_shop import MEMBERS

pytestmark = pytest.mark.anyio
ANN = MEMBERS[0]
KEPT = "guesslike_impressions_total"


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "feed.db")
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def client(small_model: Path, url: str, clock: Clock) -> AsyncIterator[httpx.AsyncClient]:
    async with in_process(service(small_model, url, clock)) as client:
        yield client


async def answer(client: httpx.AsyncClient, **wanted: Any) -> dict[str, Any]:
    found = await client.get(RECOMMENDATIONS, params=wanted)
    assert found.status_code == 200, found.text
    return dict(found.json())


async def written(client: httpx.AsyncClient, answers: float) -> None:
    """Wait until so many are in the feed."""
    for _ in range(400):
        if value((await client.get("/metrics")).text, KEPT, outcome="kept") == answers:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("they were not written")


async def kept(url: str) -> list[Impression]:
    feed = await open_feed(url)
    found = await feed.read_impressions(0, after=0, limit=1_000)
    await feed.close()
    return [one for _, batch in found for one in batch]


async def test_a_personal_answer_is_written_down_as_it_was_given(
    client: httpx.AsyncClient, url: str, tmp_path: Path
) -> None:
    home = await answer(client, member_id=ANN, limit=5)
    cart = await answer(client, visitor_id="vic", placement="cart", cart="p10", limit=4)
    await answer(client, limit=5)  # anybody's
    await answer(client, member_id=ANN, limit=5, debug=True)  # the shop's own look
    await written(client, 2)
    given = [
        (body["request_id"], [item["product_id"] for item in body["items"]])
        for body in (home, cart)
    ]
    found = await kept(url)
    assert [(one.request_id, one.product_ids) for one in found] == given
    assert [(one.member_id, one.visitor_id) for one in found] == [(ANN, None), (None, "vic")]
    assert [one.placement for one in found] == ["home", "cart"]
    assert {one.model_version for one in found} == {home["model_version"]}
    assert {one.shown_at for one in found} == {round(NOW.timestamp() * 1e6)}
    feed = await open_feed(url)
    (tmp_path / "dataset").mkdir()
    await drain(feed, tmp_path / "dataset")
    await feed.close()
    table = Dataset(tmp_path / "dataset").read("impressions")
    assert table["request_id"].to_list() == [request for request, _ in given]
    assert table["shown_at"].to_list() == [NOW, NOW]


async def test_what_is_shown_again_and_again_makes_room_until_it_is_clicked(
    client: httpx.AsyncClient,
) -> None:
    first = await items(client, visitor_id="vic", limit=8)
    for count in (2, 3):
        assert await items(client, visitor_id="vic", limit=8) == first
        await written(client, count)
    tired = products(first)
    after = products(await items(client, visitor_id="vic", limit=8))
    assert len(after) == 8
    assert not set(tired) & set(after)
    look = {"visitor_id": "vic", "limit": 100, "debug": True}  # which counts as no showing
    everything = products(await items(client, **look))
    assert everything[-8:] == tired, "they are still there"
    assert products(await items(client, visitor_id="other", limit=8)) == tired
    for who in ("vic", "new"):
        clicked = event("click", tired[7], NOW + timedelta(seconds=1), visitor_id=who)
        await send(client, clicked)
    fresh = products(await items(client, **look | {"visitor_id": "new"}))
    for _ in range(2):  # from the event itself, then from what the feed has counted
        later = products(await items(client, **look))
        assert later != fresh
        assert without(later, tired[:7]) == without(fresh, tired[:7]), "the clicked one is back"
        await asyncio.sleep(1.2)


def without(found: list[str], some: list[str]) -> list[str]:
    return [product for product in found if product not in some]


async def test_after_a_week_it_is_shown_again(client: httpx.AsyncClient, clock: Clock) -> None:
    first = await items(client, visitor_id="vic", limit=8)
    for _ in range(2):
        await items(client, visitor_id="vic", limit=8)
    await written(client, 3)
    assert await items(client, visitor_id="vic", limit=8) != first
    clock.at = NOW + timedelta(days=7, minutes=1)
    assert await items(client, visitor_id="vic", limit=8) == first


async def test_a_member_keeps_what_is_bought_again_and_again(client: httpx.AsyncClient) -> None:
    def again(found: list[dict[str, Any]]) -> list[str]:
        return [one["product_id"] for one in found if one["reason"]["code"] == "again"]

    first = await items(client, member_id=ANN, limit=10)
    others = set(products(first)) - set(again(first))
    assert again(first)
    assert others
    for _ in range(2):
        await items(client, member_id=ANN, limit=10)
    await written(client, 3)
    later = await items(client, member_id=ANN, limit=10)
    assert again(later)[: len(again(first))] == again(first)
    assert others - set(products(later))


async def test_a_shop_may_rotate_sooner_or_not_at_all(
    small_model: Path, url: str, tmp_path: Path
) -> None:
    placements = tmp_path / "placements.yaml"
    placements.write_text("home: {rotate: {showings: 1}}\nstill: {like: home, rotate: false}")
    async with in_process(service(small_model, url, placements=placements)) as client:
        first = products(await items(client, visitor_id="vic", limit=8))
        await written(client, 1)
        assert not set(first) & set(products(await items(client, visitor_id="vic", limit=8)))
        assert products(await items(client, visitor_id="vic", placement="still", limit=8)) == first


async def test_what_waits_is_written_when_the_service_stops(small_model: Path, url: str) -> None:
    async with in_process(service(small_model, url)) as client:
        await items(client, member_id=ANN)
    assert len(await kept(url)) == 1


@pytest.mark.redis
async def test_a_failing_feed_drops_them_counts_them_and_lists_go_on(
    small_model: Path, tmp_path: Path
) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        async with in_process(service(small_model, server.url)) as client:
            await items(client, member_id=ANN)
            await written(client, 1)
            server.kill()
            for _ in range(3):
                assert len(await items(client, member_id=ANN)) == 20
            for _ in range(400):
                text = (await client.get("/metrics")).text
                if value(text, KEPT, outcome="dropped") == 3:
                    break
                await asyncio.sleep(0.05)
            assert value(text, KEPT, outcome="dropped") == 3
            assert value(text, KEPT, outcome="kept") == 1
            failed = "guesslike_feed_failures_total"
            assert (value(text, failed, operation="show") or 0) >= 1
            server.start()
            await items(client, member_id=ANN)
            await written(client, 2)
    finally:
        server.kill()


class Stuck:
    """A feed that takes nothing until it is let."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.taken = 0

    async def show(self, impressions: list[Impression], notices: list[object]) -> None:
        await self.go.wait()
        self.taken += len(impressions)


async def test_memory_is_bounded_and_a_batch_is_written_before_its_second(
    small_model: Path,
) -> None:
    metrics, stuck = Metrics(("home",)), Stuck()
    waiting = Impressions(WatchedFeed(stuck, metrics), metrics)  # type: ignore[arg-type]
    ranker = ranker_at(small_model)
    one = Answered(
        "r",
        f"m:{ANN}",
        ANN,
        None,
        "home",
        Rotation(),
        [ranker.product_id(0)],
        [Pick(0, 0.0, "popular")],
        "v1",
        0,
        None,
    )
    following = asyncio.create_task(waiting.follow())
    for _ in range(WAITING + 10):
        waiting.answered(one)
    assert dropped(metrics) == 10
    await asyncio.sleep(0.05)  # far less than a second, and a batch is on its way
    waiting.answered(one)
    assert dropped(metrics) == 10
    for _ in range(BATCH):
        waiting.answered(one)
    assert dropped(metrics) == 11
    stuck.go.set()
    while stuck.taken < WAITING + BATCH:
        await asyncio.sleep(0.01)
    following.cancel()


def dropped(metrics: Metrics) -> float:
    return float(metrics._impressions.labels("dropped")._value.get())


@pytest.mark.slow
@pytest.mark.parametrize("store", ["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
async def test_showings_by_several_workers_count_together(
    small_model: Path, tmp_path: Path, store: str, request: pytest.FixtureRequest
) -> None:
    settings: dict[str, object] = {}
    if store == "redis":
        settings["feed_url"] = request.getfixturevalue("redis_server").url
    with served(small_model, tmp_path / "home", "--workers", "2", **settings) as running:
        eventually(lambda: len(running.workers()) == 2)
        eventually(lambda: running.log.count("answering on http") == 2)
        first = shown(running)
        others = [shown(running) for _ in range(15)]  # whichever worker
        assert first in (others[0], others[1])
        eventually(lambda: not set(first) & set(shown(running)))
        assert running.terminated() == 0
    if store == "sqlite":
        feed: Feed = await open_feed(str(tmp_path / "home" / "feed.db"))
        batches = await feed.read_impressions(0, after=0, limit=1_000)
        assert sum(len(batch) for _, batch in batches) >= 17
        await feed.close()


def shown(running: Served) -> list[str]:
    found = running.get(RECOMMENDATIONS, visitor_id="vic", limit=8).json()["items"]
    return [item["product_id"] for item in found]


async def test_what_was_drawn_leaves_its_propensities(small_model: Path, url: str) -> None:
    metrics, ranker = Metrics(("home",)), ranker_at(small_model)
    feed = await open_feed(url)
    waiting = Impressions(WatchedFeed(feed, metrics), metrics)
    picks = [Pick(0, 0.0, "popular"), Pick(1, 0.0, "fresh", chance=0.25)]
    for of_list in (picks, picks[:1]):
        named = [ranker.product_id(pick.product) for pick in of_list]
        waiting.answered(
            Answered("r", f"m:{ANN}", ANN, None, "home", Rotation(), named, of_list, "v1", 7, "x:y")
        )
    await waiting.write()
    await feed.close()
    found = await kept(url)
    assert [one.propensities for one in found] == [[1.0, 0.25], None]
    assert [one.variant for one in found] == ["x:y", "x:y"]
