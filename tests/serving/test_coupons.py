"""A member's coupons: only valid ones, by the planner's numbers."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from campaigns.valuation import ModelOffers
from serving.models import open_current
from tests.serving.live import NOW, TERMS, Clock, in_process, service
from tests.small_shop import END, MEMBERS, PRODUCTS, category

pytestmark = pytest.mark.anyio
ALL = ["c1", "c2", "c3", "c4"]
WINTER = END - timedelta(days=25)


@pytest.fixture(scope="module")
def clock() -> Clock:
    return Clock()


@pytest.fixture(scope="module")
async def client(
    small_model: Path, clock: Clock, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    feed = tmp_path_factory.mktemp("coupons") / "feed.db"
    async with in_process(service(small_model, str(feed), clock)) as client:
        yield client


async def coupons(client: httpx.AsyncClient, member: str, limit: int = 50) -> list[dict]:  # type: ignore[type-arg]
    answer = await client.get("/v1/coupons", params={"member_id": member, "limit": limit})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def scope(coupon: str, campaign: str | None) -> set[str]:
    """As the shop declares it in its tables."""
    return {
        "c1": {product for product in PRODUCTS if category(product).startswith("DEPARTMENT 0 ")},
        "c2": {product for product in PRODUCTS if category(product) == category("p15")},
        "c3": {"p30", "p31"} if campaign == "spring" else {"p30"},
        "c4": {"p10"},
    }[coupon]


@pytest.mark.parametrize(
    ("now", "campaigns"),
    [
        (NOW, {"c1": "spring", "c2": "spring", "c3": "spring", "c4": None}),
        (WINTER, {"c1": "winter", "c3": "winter", "c4": None}),
        (END + timedelta(days=60), {"c4": None}),
    ],
)
async def test_coupons_are_valid_ranked_and_valued_as_the_planner_does(
    client: httpx.AsyncClient,
    clock: Clock,
    small_model: Path,
    now: datetime,
    campaigns: dict[str, str | None],
) -> None:
    clock.at = now
    model = open_current(small_model / "models")
    planned = ModelOffers(model, ALL, TERMS, now.timestamp() / 86_400).offers(MEMBERS)
    shown: set[str] = set()
    for at, member in enumerate(MEMBERS):
        found = await coupons(client, member)
        value = dict(zip(ALL, planned.value[at], strict=True))
        chance = dict(zip(ALL, planned.probability[at], strict=True))
        worth = sorted(
            (one for one in ALL if one in campaigns and value[one] > 0), key=lambda one: -value[one]
        )
        assert [item["coupon_id"] for item in found] == worth
        for item in found:
            assert item["campaign_id"] == campaigns[item["coupon_id"]]
            assert item["probability"] == pytest.approx(chance[item["coupon_id"]], abs=6e-5)
            assert 0 <= item["probability"] <= 1
        shown.update(worth)
    assert shown
    assert shown <= set(campaigns)


async def test_products_are_of_the_scope_and_of_the_members_list(
    client: httpx.AsyncClient, clock: Clock, small_model: Path
) -> None:
    clock.at = NOW
    model = open_current(small_model / "models")
    for member in MEMBERS[:60]:
        row = model.members.row(member)
        assert row is not None
        low, high = model.base.offsets[row : row + 2]
        base = model.products.take(model.base.products[low:high])
        for item in await coupons(client, member):
            inside = scope(item["coupon_id"], item["campaign_id"])
            assert item["products"] == [product for product in base if product in inside][:3]
            assert item["products"]
            assert item["reason"]["evidence"] == {"product_id": item["products"][0]}
            assert f"Product {item['products'][0][1:]}" in item["reason"]["text"]


async def test_a_limit_cuts_the_list(client: httpx.AsyncClient, clock: Clock) -> None:
    clock.at = NOW
    for member in MEMBERS[:20]:
        everything = await coupons(client, member)
        assert await coupons(client, member, limit=1) == everything[:1]


async def test_a_stranger_has_none(client: httpx.AsyncClient) -> None:
    assert await coupons(client, "a stranger") == []


async def test_an_untitled_coupon_is_named(client: httpx.AsyncClient, clock: Clock) -> None:
    clock.at = NOW
    titles = {
        item["coupon_id"]: item["title"]
        for member in MEMBERS
        for item in await coupons(client, member)
    }
    assert titles["c3"] == "Coupon c3"
    assert titles["c1"] == "1 off department 0"
