"""Limits and origins over HTTP."""

from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError

from serving.doors.settings import DoorSettings
from tests.serving.doors.shop import ANN, BOB, bearer, behind_doors, opened
from tests.serving.live import RECOMMENDATIONS

pytestmark = pytest.mark.anyio
SLOW: dict[str, Any] = {
    f"{who}_{what}": value
    for who in ("server", "token", "public")
    for what, value in (("rate", 0.01), ("burst", 3))
}
SHOP = "https://shop.example"


async def spent(client: httpx.AsyncClient, text: str | None) -> list[int]:
    headers = {} if text is None else bearer(text)
    return [(await client.get(RECOMMENDATIONS, headers=headers)).status_code for _ in range(5)]


async def test_each_key_and_each_member_has_a_limit_of_its_own(
    small_model: Path, tmp_path: Path
) -> None:
    async with behind_doors(small_model, tmp_path / "home", **SLOW) as shop:
        ann, again, bob = [await shop.token(member_id=who) for who in (ANN, ANN, BOB)]
        assert await spent(shop.client, ann) == [200, 200, 200, 429, 429]
        assert await spent(shop.client, again) == [429] * 5, "another token is no other member"
        assert await spent(shop.client, bob) == [200, 200, 200, 429, 429]
        assert await spent(shop.client, shop.publishable) == [200, 200, 200, 429, 429]
        assert await spent(shop.client, "gls_wrong") == [401, 401, 401, 429, 429]
        assert await spent(shop.client, shop.server) == [429] * 5, "three tokens were asked for"
        answer = await shop.get(RECOMMENDATIONS, ann)
        assert 90 <= int(answer.headers["retry-after"]) <= 101
        assert "Retry-After" in answer.json()["detail"]
        for _ in range(20):
            assert (await shop.client.get("/livez")).status_code == 200


async def test_open_doors_count_by_address(small_model: Path, tmp_path: Path) -> None:
    async with opened(small_model, tmp_path, **SLOW) as (client, _):
        assert await spent(client, None) == [200, 200, 200, 429, 429]


async def preflight(client: httpx.AsyncClient, origin: str) -> httpx.Response:
    asked = {
        "Origin": origin,
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    return await client.options(RECOMMENDATIONS, headers=asked)


async def test_pages_of_the_listed_origins_may_call(small_model: Path, tmp_path: Path) -> None:
    async with behind_doors(small_model, tmp_path / "home", origins=[SHOP]) as shop:
        allowed = await preflight(shop.client, SHOP)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == SHOP
        assert "Authorization" in allowed.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in allowed.headers
        for origin in (
            "https://evil.example",
            f"{SHOP}.evil.example",
            "null",
            "http://shop.example",
        ):
            refused = await preflight(shop.client, origin)
            assert refused.status_code == 400
            assert "access-control-allow-origin" not in refused.headers
        denied = await shop.client.get(RECOMMENDATIONS, headers={"Origin": SHOP})
        assert denied.status_code == 401
        assert denied.headers["access-control-allow-origin"] == SHOP, "the page can read why"


async def test_without_a_list_no_page_may_call(small_model: Path, tmp_path: Path) -> None:
    async with behind_doors(small_model, tmp_path / "home") as shop:
        answer = await preflight(shop.client, SHOP)
        assert answer.status_code == 401
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize(
    "origin",
    ["*", "https://*", "https://*.shop.example", "shop.example", "https://shop.example/", "https://",
     "https://Shop.example", "ftp://shop.example", "https://a@shop.example", "null", "", "https://["],
)  # fmt: skip
def test_what_is_no_origin_stops_the_start(origin: str) -> None:
    with pytest.raises(ValidationError):
        DoorSettings(origins=(origin,))


def test_origins_are_scheme_host_and_port() -> None:
    origins = (SHOP, "http://localhost:3000")
    assert DoorSettings(origins=origins).origins == origins
