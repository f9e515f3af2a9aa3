"""Identify and erase over HTTP: what the next request gets, in every worker, and behind doors."""

import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from recsys.errors import LedgerError
from tests.redis_server import RedisServer
from tests.serving.doors.shop import Shop, bearer, behind_doors
from tests.serving.live import event, in_process, items, products, send, service
from tests.serving.served import served
from tests.serving.stores import Store
from tests.small_shop import BUNDLES, MEMBERS

pytestmark = pytest.mark.anyio
ANN, BOB = MEMBERS[0], MEMBERS[1]
FIRST = BUNDLES[1][0]


@pytest.fixture
async def client(small_model: Path, store: Store) -> AsyncIterator[httpx.AsyncClient]:
    of = service(small_model, store.url, feed_shards=store.shards)
    async with in_process(of) as client:
        yield client


async def identify(client: httpx.AsyncClient, visitor: str, member: str) -> dict[str, Any]:
    answer = await client.post(f"/v1/visitors/{visitor}/identify", json={"member_id": member})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def erase(client: httpx.AsyncClient, member: str) -> None:
    answer = await client.delete(f"/v1/members/{member}")
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"until": "2025-05-01T09:05:00Z"}


async def coupons(client: httpx.AsyncClient, member: str) -> list[dict[str, Any]]:
    return list((await client.get("/v1/coupons", params={"member_id": member})).json()["items"])


async def test_a_session_is_the_members_from_the_next_request_on(
    client: httpx.AsyncClient,
) -> None:
    before = await items(client, member_id=ANN, limit=100)
    of_bob = await items(client, member_id=BOB)
    await send(client, event("view", FIRST, visitor_id="v"))
    assert await items(client, member_id=ANN, limit=100) == before
    assert await identify(client, "v", ANN) == {"new": True}
    after = await items(client, member_id=ANN, limit=100)
    assert any(item["reason"]["evidence"].get("product_id") == FIRST for item in after)
    await send(client, event("purchase", "p10", visitor_id="v"))
    assert "p10" not in products(await items(client, member_id=ANN, limit=100))
    assert await identify(client, "v", ANN) == {"new": False}
    assert await items(client, member_id=BOB) == of_bob


async def test_an_erased_member_gets_what_a_stranger_gets(client: httpx.AsyncClient) -> None:
    await send(client, event("view", FIRST, member_id=ANN), event("view", "p10", visitor_id="v"))
    await identify(client, "v", ANN)
    nobodys, of_bob = await items(client), await items(client, member_id=BOB)
    assert await items(client, member_id=ANN) != nobodys
    assert await coupons(client, ANN)
    await erase(client, ANN)
    assert await items(client, member_id=ANN) == nobodys
    assert await coupons(client, ANN) == []
    assert await items(client, visitor_id="v") == nobodys
    assert await items(client, member_id=BOB) == of_bob
    await send(client, event("view", FIRST, member_id=ANN))
    again = await items(client, member_id=ANN)
    assert again != nobodys, "what a new member does counts"
    assert all(item["reason"]["code"] != "again" for item in again)


async def test_an_erasure_outlives_the_service(small_model: Path, store: Store) -> None:
    of = service(small_model, store.url, feed_shards=store.shards)
    async with in_process(of) as client:
        await erase(client, ANN)
    async with in_process(of) as client:
        assert await items(client, member_id=ANN) == await items(client)
        assert await coupons(client, ANN) == []


@pytest.mark.redis
async def test_an_erased_member_stays_hidden_while_the_feed_fails(
    small_model: Path, tmp_path: Path
) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        of = service(small_model, server.url)
        async with in_process(of) as client:
            await erase(client, ANN)
            server.kill()
            assert await items(client, member_id=ANN) == await items(client)
            assert await items(client, member_id=BOB) != await items(client)
            refused = await client.post("/v1/visitors/v/identify", json={"member_id": BOB})
            assert refused.status_code == 503
            assert (await client.delete(f"/v1/members/{BOB}")).status_code == 503
    finally:
        server.kill()


@pytest.mark.parametrize(
    ("method", "path", "body", "field"),
    [
        ("POST", "/v1/visitors/v/identify", {}, "member_id"),
        ("POST", "/v1/visitors/v/identify", {"member_id": ""}, "member_id"),
        ("POST", "/v1/visitors/v/identify", {"member_id": ANN, "at": "now"}, "at"),
        ("POST", "/v1/visitors/%20/identify", {"member_id": ANN}, "visitor_id"),
        ("POST", "/v1/visitors/v/identify", {"member_id": f"{ANN}\n"}, "member_id"),
        ("POST", f"/v1/visitors/{'v' * 129}/identify", {"member_id": ANN}, "visitor_id"),
        ("DELETE", f"/v1/members/{'m' * 129}", None, "member_id"),
    ],
)
async def test_what_is_wrong_is_named(
    *, small_model: Path, tmp_path: Path, method: str, path: str, body: Any, field: str
) -> None:
    async with in_process(service(small_model, str(tmp_path / "feed.db"))) as client:
        answer = await client.request(method, path, json=body)
        assert answer.status_code == 422
        assert answer.json()["field"] == field


async def test_ids_may_hold_what_an_address_does_not(small_model: Path, tmp_path: Path) -> None:
    async with in_process(service(small_model, str(tmp_path / "feed.db"))) as client:
        await send(client, event("purchase", "p10", visitor_id="a/b ✓"))
        await identify(client, "a%2Fb%20%E2%9C%93", ANN)
        assert "p10" not in products(await items(client, member_id=ANN, limit=100))
        await send(client, event("purchase", "p10", member_id="team/ann"))
        await erase(client, "team%2Fann")
        assert "p10" in products(await items(client, member_id="team/ann", limit=100))


async def test_only_the_shops_server_identifies_and_erases(
    small_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="serving")
    async with behind_doors(small_model, tmp_path / "home") as shop:
        asked = [
            ("POST", "/v1/visitors/v/identify", {"member_id": ANN}),
            ("DELETE", f"/v1/members/{ANN}", None),
        ]
        browsers = [
            await shop.token(member_id=ANN), await shop.token(visitor_id="v"), shop.publishable
        ]  # fmt: skip
        for method, path, body in asked:
            for text in browsers:
                assert await status(shop, method, path, body, text) == 403
            assert (await shop.client.request(method, path, json=body)).status_code == 401
            assert await status(shop, method, path, body, shop.server) == 200
    assert ANN not in caplog.text


async def status(shop: Shop, method: str, path: str, body: Any, text: str) -> int:
    answer = await shop.client.request(method, path, json=body, headers=bearer(text))
    return answer.status_code


async def test_others_forget_an_erased_member_too_and_what_fails_is_said(
    small_model: Path, tmp_path: Path
) -> None:
    forgotten: list[str] = []

    def forget(member: str) -> None:
        if forgotten:
            raise LedgerError("it is locked")
        forgotten.append(member)

    of = replace(service(small_model, str(tmp_path / "feed.db")), forget=forget)
    async with in_process(of) as client:
        await erase(client, ANN)
        assert forgotten == [ANN]
        answer = await client.delete(f"/v1/members/{BOB}")
        assert answer.status_code == 503
        assert answer.json()["detail"] == "the ledger cannot be reached now; send it again"


@pytest.mark.slow
def test_every_worker_knows_at_once(small_model: Path, tmp_path: Path) -> None:
    # heard of only every hour, so that what counts must come with the latest events
    with served(small_model, tmp_path / "home", "--workers", "2", reload_seconds=3600) as running:

        def lists(**who: str) -> list[list[str]]:
            answers = [running.get("/v1/recommendations", **who).json() for _ in range(12)]
            return [products(answer["items"]) for answer in answers]

        nobodys = lists()[0]
        assert nobodys not in lists(member_id=ANN)
        bought = {"event_id": "e", "kind": "purchase", "occurred_at": "2025-05-01T09:00:00Z"}
        body = {"events": [{**bought, "visitor_id": "v", "product_id": "p10", "order_id": "o"}]}
        assert running.post("/v1/events", body).status_code == 200
        assert any("p10" in one for one in lists(member_id=BOB, limit="100"))
        assert running.post("/v1/visitors/v/identify", {"member_id": BOB}).status_code == 200
        assert not any("p10" in one for one in lists(member_id=BOB, limit="100"))
        address = f"http://127.0.0.1:{running.port}/v1/members/{ANN}"
        assert httpx.delete(address, timeout=20).status_code == 200
        assert lists(member_id=ANN) == [nobodys] * 12
