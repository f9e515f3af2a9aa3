"""Rules over HTTP: filters, candidates, debug, and what a bad one is told."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings

from serving.schemas import Recommendations
from tests.recsys.filter_texts import MismatchError, Written, expressions, spoilt
from tests.serving.live import (
    RECOMMENDATIONS,
    SELLABLE,
    in_process,
    items,
    products,
    service,
    unrotated,
)
from tests.serving.test_app import fits
from tests.small_shop import MEMBERS, PRODUCTS, SOLD_OUT, category, price

pytestmark = pytest.mark.anyio
ANN = MEMBERS[0]
CHEAP = {product for product in SELLABLE["small_model"] if price(product) <= 2}


@pytest.fixture(scope="module")
async def reader(
    small_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    folder = tmp_path_factory.mktemp("rules")
    still = service(small_model, str(folder / "feed.db"), placements=unrotated(folder))
    async with in_process(still) as client:
        yield client


@pytest.mark.parametrize("page", [{}, {"placement": "product", "product_id": "p00"}])
async def test_a_filter_is_kept_and_the_list_still_full(
    reader: httpx.AsyncClient, page: dict[str, str]
) -> None:
    found = products(await items(reader, member_id=ANN, filter="price <= 2", limit=60, **page))
    assert set(found) == CHEAP - {page.get("product_id")}
    both = {"member_id": ANN, "filter": 'brand = "brand 1" and price <= 2', **page}
    posted = (await reader.post(RECOMMENDATIONS, json=both)).json()["items"]
    assert products(posted) == ["p01"]
    assert await items(reader, filter="price < 0") == []


async def test_candidates_are_ranked_and_nothing_else(reader: httpx.AsyncClient) -> None:
    whole = products(await items(reader, member_id=ANN, limit=100))
    some = [*PRODUCTS[40:], "no such product", *PRODUCTS[:20:3], SOLD_OUT]
    asked = {"member_id": ANN, "placement": "search", "candidates": some, "debug": True}
    answer = (await reader.post(RECOMMENDATIONS, json=asked)).json()
    known = [product for product in whole if product in some]
    assert products(answer["items"]) == [*known, "p59"]  # never bought, yet found
    assert answer["items"][-1]["reason"]["code"] == "found"
    removed = answer["debug"]["removed"]
    assert (removed["unknown"], removed["out_of_stock"]) == (1, 1)
    assert answer["debug"]["allowed"] == len(known) + 1

    first = (await reader.post(RECOMMENDATIONS, json=asked | {"limit": 3})).json()["items"]
    assert products(first) == known[:3]
    none = await reader.post(RECOMMENDATIONS, json=asked | {"candidates": []})
    assert none.json()["items"] == []


async def test_as_many_candidates_as_may_be_sent_come_back(reader: httpx.AsyncClient) -> None:
    many = [*PRODUCTS, *(f"unknown {number}" for number in range(440))]
    asked = {"placement": "search", "candidates": many, "limit": 500}
    answer = await reader.post(RECOMMENDATIONS, json=asked)
    assert len(answer.json()["items"]) == len(PRODUCTS) - 1
    over = await reader.post(RECOMMENDATIONS, json=asked | {"candidates": [*many, "one more"]})
    assert (over.status_code, over.json()["field"]) == (422, "candidates")


async def test_debug_says_what_each_rule_took_away(reader: httpx.AsyncClient) -> None:
    asked: dict[str, Any] = {
        "placement": "cart",
        "cart": ["p00", "p01"],
        "exclude": ["p02", "p00"],
        "filter": "price <= 2",
        "limit": 100,
        "debug": True,
    }
    answer = await reader.get(RECOMMENDATIONS, params=asked)
    debug = answer.json()["debug"]
    listed = len(PRODUCTS) - 1  # one was never bought
    assert debug["considered"] == listed
    assert debug["removed"] == {
        "unknown": 0, "out_of_stock": 1, "placement": 0, "region": 0,
        "filter": listed - 1 - len(CHEAP), "shown": 2, "excluded": 1, "resting": 0,
        "one_variant": 0, "at_most": 0,
    }  # fmt: skip
    assert debug["allowed"] == len(CHEAP) - 3 == len(answer.json()["items"])
    filled = debug["filled"]
    assert filled["page"] + filled["member"] + filled["catalogue"] == debug["allowed"]
    document = (await reader.get("/openapi.json")).json()
    declared = document["paths"][RECOMMENDATIONS]["get"]["responses"]["200"]
    assert fits(answer.json(), declared["content"]["application/json"]["schema"])
    assert set(Recommendations.__struct_fields__) - {"variant"} == set(answer.json())
    assert "debug" not in (await reader.get(RECOMMENDATIONS)).json()


@pytest.mark.parametrize(
    ("asked", "field", "said"),
    [
        ({"filter": "price <"}, "filter", "ends too early"),
        ({"filter": "pricee < 5"}, "filter", "did you mean 'price'"),
        ({"filter": 'price < "5"'}, "filter", "a plain number"),
        ({"filter": "p" * 1001}, "filter", "1000"),
        ({"filter": ""}, "filter", "at least 1"),
        ({"placement": "hoem"}, "placement", "did you mean 'home'"),
        ({"placement": "roof"}, "placement", "known: home, product, cart, search"),
        ({"placement": "search"}, "query", "POST"),
        ({"candidates": ["p01"]}, "candidates", "placement search"),
        ({"placement": "search", "candidates": ["p01"], "limit": 101}, "limit", "at most 100"),
        ({"placement": "product"}, "product_id", "needs a product_id"),
    ],
)
async def test_a_bad_rule_is_told_its_place_and_its_mend(
    reader: httpx.AsyncClient, asked: dict[str, Any], field: str, said: str
) -> None:
    answers = [await reader.post(RECOMMENDATIONS, json=asked)]
    if "candidates" not in asked:
        answers.append(await reader.get(RECOMMENDATIONS, params=asked))
    for answer in answers:
        assert answer.status_code == 422
        assert answer.json()["field"] == field
        assert said in answer.json()["detail"]


FACTS = {
    product: {
        "brand": f"brand {number % 7}",
        "category": category(product),
        "price": price(product),
        "in_stock": product != SOLD_OUT,
    }
    for number, product in enumerate(PRODUCTS)
}
FIELDS = {name: [facts[name] for facts in FACTS.values()] for name in FACTS["p00"]}
EXPRESSIONS = expressions(FIELDS, depth=2)
FREELY = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


async def filtered(client: httpx.AsyncClient, text: str) -> set[str] | None:
    """What is left of the shop; None where the filter is refused."""
    answer = await client.post(RECOMMENDATIONS, json={"filter": text, "limit": 60})
    if answer.status_code == 422 and answer.json()["field"] == "filter":
        return None
    assert answer.status_code == 200, answer.text
    return set(products(answer.json()["items"]))


@FREELY
@given(written=EXPRESSIONS)
async def test_any_filter_keeps_what_plain_python_keeps(
    reader: httpx.AsyncClient, written: Written
) -> None:
    try:
        meant = {one for one in SELLABLE["small_model"] if written.passes(FACTS[one])}
    except MismatchError:
        meant = None
    assert await filtered(reader, written.text) == meant


@FREELY
@given(text=spoilt(EXPRESSIONS))
async def test_a_spoilt_filter_is_read_or_refused(reader: httpx.AsyncClient, text: str) -> None:
    assert (await filtered(reader, text) or set()) <= SELLABLE["small_model"]
