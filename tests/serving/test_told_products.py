"""A product that was told of is shown before any model knows it, under all rules, by every worker,
and the next training knows it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.columns import Labels
from recsys.model import Model
from serving import kernel, newcomers
from serving.feed.news import ProductNews
from serving.models import open_current
from serving.placements import BUILT_IN
from serving.ranker import Ranker
from serving.recommend import recommend
from tests.redis_server import RedisServer
from tests.serving.live import RECOMMENDATIONS, event, in_process, items, products, send, service
from tests.serving.test_recommend import DAY_US, NOW_US, ids, wanted
from tests.small_shop import MEMBERS, PRODUCTS

pytestmark = pytest.mark.anyio
ANN = MEMBERS[0]
NEW = "новинка"
TEA = {"title": "首 tea", "category": "DRINKS > TEA", "brand": "Leaf", "price": 2.5}


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def feed(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "feed.db")
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url


@pytest.fixture
async def client(small_model: Path, feed: str) -> AsyncIterator[httpx.AsyncClient]:
    async with in_process(service(small_model, feed)) as client:
        yield client


async def tell(client: httpx.AsyncClient, product: str = NEW, **facts: Any) -> list[str]:
    """Returns what stays unknown."""
    body = {"products": [{"product_id": product, **facts}]}
    answer = await client.patch("/v1/products", json=body)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["unknown"])


async def shown(client: httpx.AsyncClient, **wanted: Any) -> list[str]:
    return products(await items(client, **({"member_id": ANN, "limit": 100} | wanted)))


async def found(client: httpx.AsyncClient, *candidates: str, **more: Any) -> list[str]:
    body = {"placement": "search", "candidates": candidates, **more}
    answer = await client.post(RECOMMENDATIONS, json=body)
    assert answer.status_code == 200, answer.text
    return products(answer.json()["items"])


async def test_it_is_shown_once_it_has_a_title(client: httpx.AsyncClient) -> None:
    before = await shown(client)
    assert await tell(client, price=2.5) == [NEW]
    assert await shown(client) == before
    assert await tell(client, **TEA) == []
    after = await items(client, member_id=ANN, limit=100)
    assert [one for one in products(after) if one != NEW] == before
    (item,) = (one for one in after if one["product_id"] == NEW)
    assert (item["source"], item["reason"]["code"]) == ("fresh", "fresh")
    scores = [one["score"] for one in after]
    assert scores == sorted(scores, reverse=True)
    assert await tell(client, title=None) == [NEW]
    assert await shown(client) == before


async def test_every_rule_holds_for_it(client: httpx.AsyncClient) -> None:
    await tell(client, **TEA, regions=["north"])
    assert await shown(client, filter='brand = "Leaf"') == [NEW]
    assert await shown(client, filter='category startswith "DRINKS"') == [NEW]
    assert NEW in await shown(client, filter="price = 2.5")
    assert NEW not in await shown(client, filter="price > 2.5")
    assert NEW in await shown(client, region="north")
    assert NEW not in await shown(client, region="south")
    assert NEW not in await shown(client, exclude=NEW)
    await tell(client, in_stock=False)
    assert NEW not in await shown(client)
    await tell(client, in_stock=None, price=9)
    assert await shown(client, filter='brand = "Leaf" and price = 9') == [NEW]
    await tell(client, brand="Blatt")
    assert await shown(client, filter='brand = "Leaf"') == []
    await send(client, event("purchase", NEW, member_id=ANN, order_id="o"))
    assert NEW not in await shown(client), "bought a moment ago"


async def test_a_search_may_find_it_and_a_page_may_be_of_it(client: httpx.AsyncClient) -> None:
    assert await found(client, NEW, PRODUCTS[0]) == [PRODUCTS[0]]
    await tell(client, **TEA)
    assert await found(client, NEW, PRODUCTS[0], member_id=ANN) == [PRODUCTS[0], NEW]
    page = await shown(client, placement="product", product_id=NEW, limit=20)
    assert len(page) == 20
    assert NEW not in page
    await send(client, event("view", NEW, member_id=ANN))
    assert len(await shown(client, limit=20)) == 20


async def test_every_other_worker_hears_of_it_and_it_outlives_a_restart(
    small_model: Path, feed: str
) -> None:
    async with (
        in_process(service(small_model, feed, reload_seconds=0.2)) as here,
        in_process(service(small_model, feed, reload_seconds=0.2)) as there,
    ):
        await tell(here, **TEA)
        async with asyncio.timeout(20):
            while NEW not in await shown(there):
                await asyncio.sleep(0.02)
    async with in_process(service(small_model, feed)) as later:
        assert await shown(later, filter='brand = "Leaf"') == [NEW]


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"title": ""}, "title"),
        ({"title": "x" * 501}, "title"),
        ({"title": "x", "regions": []}, "regions"),
        ({"title": "x", "color": "red"}, "color"),
    ],
)
async def test_a_bad_fact_is_named(
    small_model: Path, tmp_path: Path, facts: dict[str, Any], field: str
) -> None:
    async with in_process(service(small_model, str(tmp_path / "feed.db"))) as client:
        body = {"products": [{"product_id": NEW, **facts}]}
        answer = await client.patch("/v1/products", json=body)
        assert (answer.status_code, answer.json()["field"]) == (422, f"products.0.{field}")
        assert NEW not in await shown(client)


def news(*told: str, **facts: Any) -> list[ProductNews]:
    return [ProductNews(one, **({"title": one} | facts)) for one in told]


@pytest.fixture(scope="module")
def model(small_model: Path) -> Model:
    return open_current(small_model / "models")


@pytest.fixture
def ranker(model: Model) -> Ranker:
    return Ranker(model)


def test_they_take_their_stated_share_of_the_places(ranker: Ranker) -> None:
    ranker.hear(news("a", "b"), number=1)
    lists = [
        ids(recommend(ranker, wanted(member, limit=10, now=NOW_US + day * DAY_US), []))
        for member in MEMBERS[:60]
        for day in range(6)
    ]
    assert all(len(set(one)) == 10 for one in lists)
    share = np.mean([product in ("a", "b") for one in lists for product in one])
    assert share == pytest.approx(ranker.model.exploring, abs=0.015)
    assert {one[-1] for one in lists} >= {"a", "b"}


def test_what_has_most_in_common_with_a_members_list_is_theirs(ranker: Ranker) -> None:
    model = ranker.model
    labels = Labels.build(["A > x", "A > y", "B > z", None] * (len(model.products) // 4))
    ranker = Ranker(replace(model, categories=labels))
    of = {"ax": "A > x", "ay": "A > y", "b": "B > z", "c": "C", "none": None}
    ranker.hear([one for name, path in of.items() for one in news(name, category=path)], number=1)
    of_a = np.flatnonzero(labels.codes == 0).astype(np.int32)
    best = [ranker.product_id(int(row)) for row in ranker._newcomers.matching(of_a)]
    assert best == ["ax", "ay", "none", "c"], "of equals the latest"


def test_nothing_is_compiled_anew_for_it(ranker: Ranker) -> None:
    before = len(kernel.best_list.signatures)
    ranker.hear(news("a", "b"), number=1)
    asked = wanted(ANN, placement=BUILT_IN["product"], seeds=["a"], limit=100)
    found = ids(recommend(ranker, asked, []))
    assert "b" in found
    assert "a" not in found
    assert len(kernel.best_list.signatures) == before


def test_of_too_many_the_latest_count(
    ranker: Ranker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(newcomers, "MOST", 3)
    ranker.hear(news("a", "b", "c"), number=1)
    assert not caplog.records
    ranker.hear(news("a", price=1.0) + news("d"), number=2)
    assert "over 3 products" in caplog.text
    rows = {one: ranker.product_row(one) is not None for one in "abcd"}
    assert rows == {"a": True, "b": False, "c": True, "d": True}


changes = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", PRODUCTS[0]]),
        st.sampled_from([None, "T", "U"]),
        st.sampled_from([None, "Leaf"]),
        st.sampled_from([None, True, False]),
        st.sampled_from([None, 1.0, 2.0]),
    ),
    max_size=8,
)


@settings(deadline=None, max_examples=40)
@given(changes=changes, cut=st.integers(0, 8))
def test_what_was_heard_in_parts_is_what_was_heard_at_once(
    model: Model, changes: list[tuple[Any, ...]], cut: int
) -> None:
    said = [
        ProductNews(one, stock, price, title, None, brand)
        for one, title, brand, stock, price in changes
    ]
    last = {one.product_id: one for one in said}
    parts, whole = Ranker(model), Ranker(model)
    parts.hear(said[:cut], number=1)
    parts.hear(said[cut:], number=2)
    order = sorted(
        last, key=lambda one: max(at for at, s in enumerate(said) if s.product_id == one)
    )
    whole.hear([last[one] for one in order], number=2)
    for product in ("a", "b", PRODUCTS[0]):
        rows = parts.product_row(product), whole.product_row(product)
        assert rows[0] == rows[1]
        told = last.get(product)
        if product != PRODUCTS[0]:
            assert (rows[0] is not None) == (told is not None and told.title is not None)
        if rows[0] is not None and told is not None:
            for heard in (parts.model, whole.model):
                stock = told.in_stock
                assert heard.sellable[rows[0]] == (stock if stock is not None else True)
                price = heard.prices[rows[0]]
                if told.price is not None:
                    assert price == told.price
                elif product != PRODUCTS[0]:
                    assert np.isnan(price)
                    assert heard.brands[rows[0]] == (told.brand or "")
