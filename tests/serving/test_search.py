"""A search of our own: what fits the text, in the member's order, under all rules, and no more."""

import json
import shutil
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys import artifact
from recsys.columns import Labels, Texts
from recsys.model import to_arrays
from recsys.search import FILE, Description, index
from serving import kernel
from serving.models import open_current
from serving.placements import BUILT_IN
from serving.ranker import Ranker
from serving.recommend import recommend
from serving.rules import Asked
from tests.serving.live import (
    NOW,
    RECOMMENDATIONS,
    event,
    in_process,
    items,
    products,
    send,
    service,
)
from tests.serving.test_recommend import ids, wanted
from tests.small_shop import MEMBERS, PRODUCTS, SOLD_OUT

pytestmark = pytest.mark.anyio
ANN = MEMBERS[0]
TITLES = {
    **{product: f"Milk {product[1:]}" for product in PRODUCTS},
    "p05": "Oat drink 1 l",
    "p06": "蒙牛 纯牛奶 250ml",
    "p07": "特仑苏 牛奶",
    "p08": "牛奶",
    "p09": "蜂蜜",
    "p50": "Milk",
    "p59": "Milky tea",
}
"""p08 and p50 are what somebody may type; p59 was never bought"""


def found_by_text(home: Path, folder: Path, titles: Mapping[str, str]) -> Path:
    """A home whose model is another's, with other titles and an index of them."""
    shutil.copytree(home / "models", folder / "models")
    models = folder / "models"
    version = artifact.current(models)
    assert version is not None
    sound = artifact.open_model(models, version)
    manifest = {k: v for k, v in sound.manifest.items() if k not in ("files", "version", "format")}
    drinks = ["Drinks > Milk" if "Milk" in title else "Drinks" for title in titles.values()]
    shelf = [
        Description(title, category, "")
        for title, category in zip(titles.values(), drinks, strict=True)
    ]
    order = np.asarray(sound.arrays["search_order"])
    arrays = {
        **sound.arrays,
        **to_arrays("titles", Texts.build(list(titles.values()))),
        **to_arrays("categories", Labels.build(drinks)),
    }
    others = {FILE: index([shelf[row] for row in order])}
    artifact.point_current(models, artifact.write(models, manifest, arrays, others))
    return folder


@pytest.fixture(scope="module")
def home(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return found_by_text(small_model, tmp_path_factory.mktemp("texts"), TITLES)


@pytest.fixture(scope="module")
def ranker(home: Path) -> Ranker:
    return Ranker(open_current(home / "models"))


@pytest.fixture(scope="module")
async def shop(home: Path) -> AsyncIterator[httpx.AsyncClient]:
    async with in_process(service(home, str(home / "feed.db"))) as client:
        yield client


async def searched(client: httpx.AsyncClient, query: str, **more: Any) -> list[dict[str, Any]]:
    """By GET and by POST alike."""
    asked = {"placement": "search", "query": query, "limit": 100, **more}
    answer = await client.post(RECOMMENDATIONS, json=asked)
    assert answer.status_code == 200, answer.text
    got = await items(client, **asked)
    assert got == answer.json()["items"]
    return got


async def test_what_fits_comes_in_the_members_order_and_nothing_else(
    shop: httpx.AsyncClient,
) -> None:
    whole = products(await items(shop, member_id=ANN, limit=100))
    fits = [one for one in PRODUCTS if TITLES[one].startswith("Milk ") and one != SOLD_OUT]
    found = products(await searched(shop, "milk", member_id=ANN))
    assert found[0] == "p50"  # the text itself
    assert found[-1] == "p59"  # a beginning, never bought
    assert found[1:-1] == [product for product in whole if product in fits]


async def test_chinese_is_found_by_its_characters_and_told_in_chinese(
    shop: httpx.AsyncClient,
) -> None:
    found = await searched(shop, "牛奶", member_id=ANN)
    assert set(products(found)) == {"p06", "p07", "p08"}
    assert found[0]["product_id"] == "p08"
    assert products(await searched(shop, "蒙牛牛奶")) == ["p06"]
    assert await searched(shop, "奶牛") == []
    answer = await shop.get(
        RECOMMENDATIONS,
        params={"placement": "search", "query": "蜂蜜"},
        headers={"accept-language": "zh"},
    )
    (honey,) = answer.json()["items"]
    assert (honey["source"], honey["reason"]["code"]) == ("search", "found")
    assert honey["reason"]["text"] == "符合您的搜索"


async def test_what_is_not_found_is_an_empty_list_and_stays_empty(shop: httpx.AsyncClient) -> None:
    for nothing in ("wine", "milk wine", "", "?!", "酒"):
        assert await searched(shop, nothing, member_id=ANN) == []
    asked = {"placement": "search", "query": "wine", "debug": True}
    debug = (await shop.get(RECOMMENDATIONS, params=asked)).json()["debug"]
    assert (debug["considered"], debug["allowed"]) == (0, 0)


async def test_matches_obey_every_rule_and_debug_counts_them(shop: httpx.AsyncClient) -> None:
    asked = {"member_id": ANN, "exclude": ["p50"], "cart": ["p10"], "filter": "price <= 5"}
    found = products(await searched(shop, "milk", **asked))
    cheap = {one for one in PRODUCTS[:17] if TITLES[one].startswith("Milk ")}
    assert set(found) == cheap - {"p10"}
    answer = await shop.get(
        RECOMMENDATIONS,
        params={"placement": "search", "query": "milk", "limit": 100, "debug": True, **asked},
    )
    debug = answer.json()["debug"]
    assert debug["considered"] == sum("Milk" in title for title in TITLES.values())
    assert debug["allowed"] == len(found) == debug["filled"]["member"]
    removed = debug["removed"]
    assert (removed["unknown"], removed["out_of_stock"], removed["shown"]) == (0, 1, 1)


async def test_the_list_is_as_long_as_asked_for_or_twenty(shop: httpx.AsyncClient) -> None:
    whole = products(await searched(shop, "milk", member_id=ANN))
    assert products(await searched(shop, "milk", member_id=ANN, limit=3)) == whole[:3]
    usual = await items(shop, placement="search", query="milk", member_id=ANN)
    assert products(usual) == whole[:20]


async def test_given_candidates_are_ranked_and_the_query_is_the_shops_own_business(
    shop: httpx.AsyncClient,
) -> None:
    asked = {"placement": "search", "candidates": ["p05", "p06"], "query": "milk"}
    answer = await shop.post(RECOMMENDATIONS, json=asked)
    assert set(products(answer.json()["items"])) == {"p05", "p06"}


async def test_a_product_that_was_sold_out_a_moment_ago_is_not_found(
    home: Path, tmp_path: Path
) -> None:
    async with in_process(service(home, str(tmp_path / "feed.db"))) as shop:
        assert "p08" in products(await searched(shop, "牛奶"))
        gone = {"products": [{"product_id": "p08", "in_stock": False}]}
        assert (await shop.patch("/v1/products", json=gone)).status_code == 200
        assert set(products(await searched(shop, "牛奶"))) == {"p06", "p07"}


async def test_a_product_that_no_model_knows_is_found_once_it_is_told_of(
    home: Path, tmp_path: Path
) -> None:
    async with in_process(service(home, str(tmp_path / "feed.db"))) as shop:
        new = {"product_id": "new", "title": "燕麦 牛奶", "category": "Drinks", "brand": "Oatly"}
        compiled = len(kernel.best_list.signatures)
        assert (await shop.patch("/v1/products", json={"products": [new]})).status_code == 200
        assert products(await searched(shop, "oatly")) == ["new"]
        found = await searched(shop, "牛奶", member_id=ANN)
        assert set(products(found)) == {"p06", "p07", "p08", "new"}
        assert found[0]["product_id"] == "p08"
        assert await searched(shop, "酒") == []
        await send(shop, event("search", None, query="oatly", visitor_id="v-new"))
        assert "new" in products(await items(shop, visitor_id="v-new", limit=5))
        await send(shop, event("purchase", "new", NOW - timedelta(days=1), visitor_id="v-new"))
        assert "new" in products(await items(shop, visitor_id="v-new", limit=100))
        renamed = new | {"title": "燕麦饮"}
        assert (await shop.patch("/v1/products", json={"products": [renamed]})).status_code == 200
        assert products(await searched(shop, "燕麦饮")) == ["new"]
        assert "new" not in products(await searched(shop, "牛奶"))
        assert len(kernel.best_list.signatures) == compiled


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"placement": "search"}, "needs a query, or candidates that you POST"),
        ({"query": "milk"}, "takes no query; ask for placement search"),
        ({"placement": "search", "query": "m" * 501}, "500"),
    ],
)
async def test_a_search_that_cannot_be_made_is_told_its_mend(
    shop: httpx.AsyncClient, asked: dict[str, str], said: str
) -> None:
    for answer in (
        await shop.get(RECOMMENDATIONS, params=asked),
        await shop.post(RECOMMENDATIONS, json=asked),
    ):
        assert (answer.status_code, answer.json()["field"]) == (422, "query")
        assert said in answer.json()["detail"]


async def test_a_model_without_an_index_says_so_and_answers_all_else(
    home: Path, tmp_path: Path
) -> None:
    shutil.copytree(home / "models", tmp_path / "models")
    version = artifact.current(tmp_path / "models")
    assert version is not None
    manifest = tmp_path / "models" / version / artifact.MANIFEST
    body = json.loads(manifest.read_text())
    del body["files"][FILE], body["files"]["search_order.npy"]
    manifest.write_text(json.dumps(body))
    async with in_process(service(tmp_path, str(tmp_path / "feed.db"))) as shop:
        asked = {"placement": "search", "query": "milk"}
        answer = await shop.get(RECOMMENDATIONS, params=asked)
        assert (answer.status_code, answer.json()["field"]) == (422, "query")
        assert "has no search index" in answer.json()["detail"]
        posted = await shop.post(
            RECOMMENDATIONS, json={"placement": "search", "candidates": ["p01"]}
        )
        assert products(posted.json()["items"]) == ["p01"]
        assert len(await items(shop)) == 20


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    text=st.lists(
        st.sampled_from(["milk", "MILKS", "mil", "12", "牛奶", "蒙", "drinks", "\"'*", "x"])
    ).map(" ".join)
    | st.text(max_size=40),
    member=st.sampled_from([*MEMBERS[:10], "a stranger", None]),
    limit=st.integers(1, 70),
    excluded=st.lists(st.sampled_from(PRODUCTS), max_size=5),
    cheap=st.booleans(),
)
def test_every_match_that_may_be_shown_is_shown_once(
    *, ranker: Ranker, text: str, member: str | None, limit: int, excluded: list[str], cheap: bool
) -> None:
    asked = {
        "placement": BUILT_IN["search"],
        "query": text,
        "excluded": excluded,
        "asked": Asked("price <= 5" if cheap else None),
    }
    found = ids(recommend(ranker, wanted(member, limit, **asked), []))
    fits = {PRODUCTS[row] for row in ranker.matches(text).products}
    allowed = fits - {*excluded, SOLD_OUT} - (set(PRODUCTS[17:]) if cheap else set())
    assert len(found) == len(set(found)) == min(limit, len(allowed))
    assert set(found) <= allowed


async def test_the_trained_model_finds_titles_categories_and_brands(
    small_model: Path, tmp_path: Path
) -> None:
    async with in_process(service(small_model, str(tmp_path / "feed.db"))) as shop:
        assert products(await searched(shop, "product 03"))[0] == "p03"
        shelf = {"p55", "p56", "p57", "p59", "p11"}  # the last one by its title's number
        assert set(products(await searched(shop, "shelf 11"))) == shelf
        brand = {one for one in PRODUCTS if PRODUCTS.index(one) % 7 == 5} - {SOLD_OUT}
        assert set(products(await searched(shop, "brand 5"))) >= brand
