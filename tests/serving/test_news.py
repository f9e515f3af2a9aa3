"""News of stock and price over HTTP: at once here, soon in every other worker, and until further
notice."""

import asyncio
from pathlib import Path
from shutil import copytree
from typing import Any

import httpx
import pytest

from recsys import artifact
from tests.redis_server import RedisServer
from tests.serving.live import in_process, items, products, service
from tests.small_shop import MEMBERS, SOLD_OUT, price

pytestmark = pytest.mark.anyio
ANN = MEMBERS[0]
PRODUCTS_URL = "/v1/products"


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def feed(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "feed.db")
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url


async def say(client: httpx.AsyncClient, product: str, **facts: Any) -> dict[str, Any]:
    body = {"products": [{"product_id": product, **facts}]}
    answer = await client.patch(PRODUCTS_URL, json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def shown(client: httpx.AsyncClient, **wanted: Any) -> list[str]:
    return products(await items(client, member_id=ANN, limit=100, **wanted))


async def test_sold_out_is_gone_at_once_and_comes_back(small_model: Path, feed: str) -> None:
    async with in_process(service(small_model, feed)) as client:
        before = await shown(client)
        first = before[0]
        assert await say(client, first, in_stock=False) == {"accepted": 1, "unknown": []}
        assert await shown(client) == before[1:]
        assert first not in await shown(client, placement="product", product_id=before[1])
        await say(client, first, in_stock=True)
        assert await shown(client) == before
        assert SOLD_OUT not in before
        await say(client, SOLD_OUT, in_stock=True)
        assert SOLD_OUT in await shown(client)
        await say(client, SOLD_OUT, in_stock=None)
        assert await shown(client) == before


async def test_every_other_worker_hears_of_it_within_a_second(small_model: Path, feed: str) -> None:
    async with (
        in_process(service(small_model, feed, reload_seconds=0.2)) as here,
        in_process(service(small_model, feed, reload_seconds=0.2)) as there,
    ):
        first = (await shown(there))[0]
        await say(here, first, in_stock=False)
        async with asyncio.timeout(1):
            while first in await shown(there):
                await asyncio.sleep(0.02)


async def test_a_filter_asks_for_the_price_of_now(small_model: Path, feed: str) -> None:
    async with in_process(service(small_model, feed)) as client:
        dear = next(one for one in await shown(client) if price(one) > 2)
        assert dear not in await shown(client, filter="price <= 2")
        await say(client, dear, price=1.5)
        assert dear in await shown(client, filter="price <= 2")
        await say(client, dear, price=None)
        assert dear not in await shown(client, filter="price <= 2")


async def test_news_outlive_a_restart_and_a_new_model(
    small_model: Path, feed: str, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    models = copytree(small_model / "models", home / "models")
    async with in_process(service(home, feed, reload_seconds=0.05)) as client:
        first = (await shown(client))[0]
        await say(client, first, in_stock=False)
    async with in_process(service(home, feed, reload_seconds=0.05)) as client:
        assert first not in await shown(client)
        version = artifact.current(models)
        assert version is not None
        other = "2099-01-01-000000000000"
        copytree(models / version, models / other)
        manifest = models / other / "manifest.json"
        manifest.write_text(manifest.read_text().replace(version, other))
        artifact.point_current(models, other)
        async with asyncio.timeout(20):
            while (await client.get("/readyz")).json()["model_version"] != other:
                assert first not in await shown(client)
                await asyncio.sleep(0.02)
        assert first not in await shown(client)


async def test_what_no_model_knows_is_kept_and_said(small_model: Path, feed: str) -> None:
    async with in_process(service(small_model, feed)) as client:
        told = await say(client, "a new product", in_stock=True, price=2)
        assert told == {"accepted": 1, "unknown": ["a new product"]}


@pytest.mark.parametrize(
    ("product", "field"),
    [
        ({"product_id": "p1"}, "products.0"),
        ({"product_id": "", "in_stock": True}, "products.0.product_id"),
        ({"product_id": "p1", "price": -1}, "products.0.price"),
        ({"product_id": "p1", "stock": 3}, "products.0.stock"),
        ({"in_stock": True}, "products.0.product_id"),
    ],
)
async def test_a_bad_line_is_named_and_nothing_is_taken_up(
    small_model: Path, tmp_path: Path, product: dict[str, Any], field: str
) -> None:
    async with in_process(service(small_model, str(tmp_path / "feed.db"))) as client:
        first = (await shown(client))[0]
        body = {"products": [{"product_id": first, "in_stock": False}, product][::-1]}
        answer = await client.patch(PRODUCTS_URL, json=body)
        assert (answer.status_code, answer.json()["field"]) == (422, field)
        assert (await shown(client))[0] == first
