"""Behind the doors over HTTP: nobody gets another's list, coupons or preferences."""

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from serving.doors import keys
from tests.serving.doors.shop import ANN, BOB, Shop, bearer, behind_doors
from tests.serving.live import EVENTS, NOW, RECOMMENDATIONS, event

pytestmark = pytest.mark.anyio
COUPONS = "/v1/coupons"
TOKENS = "/v1/tokens"


@pytest.fixture
async def shop(small_model: Path, tmp_path: Path) -> AsyncIterator[Shop]:
    async with behind_doors(small_model, tmp_path / "home") as shop:
        yield shop


def preferences(member: str) -> str:
    return f"/v1/members/{member}/preferences"


async def personal(shop: Shop, text: str, member: str) -> dict[str, httpx.Response]:
    """Everything personal of a member, asked for under a key or a token."""
    body: dict[str, Any] = {"member_id": member}
    stop = {"channels": {"email": {"push": False}}}
    put = await shop.client.put(preferences(member), json=stop, headers=bearer(text))
    return {
        "list": await shop.get(RECOMMENDATIONS, text, member_id=member),
        "posted list": await shop.post(RECOMMENDATIONS, text, body),
        "coupons": await shop.get(COUPONS, text, member_id=member),
        "preferences": await shop.get(preferences(member), text),
        "changed preferences": put,
        "events": await shop.post(EVENTS, text, {"events": [event("view", "p10", **body)]}),
    }


def statuses(answers: dict[str, httpx.Response]) -> set[int]:
    return {answer.status_code for answer in answers.values()}


async def test_a_server_key_opens_everything(shop: Shop) -> None:
    assert statuses(await personal(shop, shop.server, ANN)) == {200}


async def test_a_token_opens_its_own_members_and_nobody_elses(shop: Shop) -> None:
    token = await shop.token(member_id=ANN)
    assert statuses(await personal(shop, token, ANN)) == {200}
    for guess in (BOB, ANN + " ", ANN.upper() + "x", "", "*", "%", "null", f"{ANN}%00"):
        answers = await personal(shop, token, guess)
        assert statuses(answers) <= {401, 403, 404, 405, 422}, guess
        if guess == BOB:
            assert statuses(answers) == {403}
            for answer in answers.values():
                assert ANN not in answer.text
                assert BOB not in answer.text


async def test_a_token_stands_for_the_member_that_is_left_out(shop: Shop) -> None:
    token = await shop.token(member_id=ANN)
    for path, params in ((RECOMMENDATIONS, {"limit": 30}), (COUPONS, {"limit": 50})):
        own = await shop.get(path, token, **params)
        named = await shop.get(path, shop.server, member_id=ANN, **params)
        assert own.json()["items"] == named.json()["items"] != []


async def test_naming_two_members_never_opens_the_second(shop: Shop) -> None:
    token = await shop.token(member_id=ANN)
    for pair in ((ANN, BOB), (BOB, ANN)):
        for path in (RECOMMENDATIONS, COUPONS):
            own = (await shop.get(path, token)).json()["items"]
            both = [("member_id", one) for one in pair]
            answer = await shop.client.get(path, params=both, headers=bearer(token))
            assert answer.status_code == 403 or answer.json()["items"] == own
        own = (await shop.get(RECOMMENDATIONS, token)).json()["items"]
        body = f'{{"member_id": "{pair[0]}", "member_id": "{pair[1]}"}}'
        headers = {**bearer(token), "content-type": "application/json"}
        answer = await shop.client.post(RECOMMENDATIONS, content=body, headers=headers)
        assert answer.status_code == 403 or answer.json()["items"] == own


async def test_a_visitors_token_is_no_members(shop: Shop) -> None:
    """A visitor who calls itself like a member gets nothing of the member's."""
    token = await shop.token(visitor_id=ANN)
    assert statuses(await personal(shop, token, ANN)) == {403}
    assert (await shop.get(COUPONS, token)).status_code == 422
    own = await shop.get(RECOMMENDATIONS, token, visitor_id=ANN)
    assert own.status_code == 200
    assert (await shop.get(RECOMMENDATIONS, token, visitor_id="v2")).status_code == 403
    member = await shop.token(member_id=ANN)
    assert (await shop.get(RECOMMENDATIONS, member, visitor_id="v2")).status_code == 403


@pytest.mark.parametrize("path", [RECOMMENDATIONS, COUPONS, preferences(ANN)])
async def test_a_replayed_token_is_refused_once_it_ended(shop: Shop, path: str) -> None:
    token = await shop.token(member_id=ANN, ttl=30)
    start = shop.clock.at
    for second, status in ((0, 200), (29.9, 200), (30, 401), (31, 401), (1e6, 401)):
        shop.clock.at = type(start).fromtimestamp(start.timestamp() + second, start.tzinfo)
        answer = await shop.get(path, token)
        assert answer.status_code == status, second
    assert "expired" in answer.json()["detail"]
    assert "POST /v1/tokens" in answer.json()["detail"]


@pytest.mark.parametrize("path", [RECOMMENDATIONS, COUPONS, preferences(ANN)])
async def test_an_edited_token_is_refused(shop: Shop, path: str) -> None:
    token = await shop.token(member_id=BOB)
    head, name, body, mac = token.split(".")
    swapped = (await shop.token(member_id=ANN)).split(".")[2]
    for edited in (
        f"{head}.{name}.{swapped}.{mac}",
        f"{head}.{name}.{body}.{mac[:-1]}",
        f"{head}.{name}.{body}.",
        f"{head}.{name}.{body}",
        f"glt2.{name}.{body}.{mac}",
        token + "=",
        token.replace(".", ".."),
        "glt1",
        "glt1...",
        "glt1." + "a" * 100_000,
    ):
        answer = await shop.get(path, edited)
        assert answer.status_code == 401, edited
        assert 'error="invalid_token"' in answer.headers["www-authenticate"]


async def test_without_a_key_only_what_anybody_may(shop: Shop) -> None:
    for path in (RECOMMENDATIONS, COUPONS, preferences(ANN), "/metrics?x", "/v1/nothing"):
        host = httpx.ASGITransport(shop.client._transport.app, client=("192.0.2.1", 1))  # type: ignore[attr-defined]
        async with httpx.AsyncClient(transport=host, base_url="http://shop") as far:
            answer = await far.get(path)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"] == 'Bearer realm="guesslike"'
        assert "guesslike keys add" in answer.json()["detail"]
    for path in ("/livez", "/readyz", "/docs", "/openapi.json"):
        assert (await shop.client.get(path)).status_code == 200


async def test_a_line_break_in_an_address_opens_nothing(shop: Shop) -> None:
    """An expression's end is before the last line break, too: it would read ann for ann\\n."""
    for member in (f"{ANN}%0A", f"%0A{ANN}", f"{ANN}%0D%0A"):
        answers = [
            await shop.get(preferences(member), shop.server),
            await shop.client.delete(f"/v1/members/{member}", headers=bearer(shop.server)),
        ]
        assert [answer.status_code for answer in answers] == [404, 404]
        assert answers[1].json()["detail"] == "an address holds no line break"


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Basic Z2xzOng=",
        b"Bearer gls_",
        b"Bearer gls__",
        b"Bearer \xff\xfe\x80",
        b"Bearer glt1.\xe4.\xf6.\xfc",
        b"Bearer " + b"_" * 5000,
    ],
)
async def test_no_header_makes_a_defect(shop: Shop, header: bytes) -> None:
    answer = await shop.client.get(RECOMMENDATIONS, headers=[(b"authorization", header)])
    assert answer.status_code == 401


async def test_two_authorizations_are_none(shop: Shop) -> None:
    both = [("authorization", f"Bearer {text}") for text in (shop.server, shop.publishable)]
    assert (await shop.client.get(RECOMMENDATIONS, headers=both)).status_code == 401


async def test_a_publishable_key_opens_nothing_personal(shop: Shop) -> None:
    text = shop.publishable
    assert statuses(await personal(shop, text, ANN)) == {403}
    assert (await shop.get(RECOMMENDATIONS, text, visitor_id="v1")).status_code == 403
    assert (await shop.get(COUPONS, text)).status_code == 403
    assert (await shop.post(TOKENS, text, {"member_id": ANN})).status_code == 403
    popular = await shop.get(RECOMMENDATIONS, text, limit=5)
    together = await shop.get(RECOMMENDATIONS, text, placement="product", product_id="p10")
    assert len(popular.json()["items"]) == 5
    assert together.status_code == 200


async def test_a_token_makes_no_tokens(shop: Shop) -> None:
    token = await shop.token(member_id=ANN)
    assert (await shop.post(TOKENS, token, {"member_id": BOB})).status_code == 403


@pytest.mark.parametrize(
    "body",
    [{}, {"member_id": "a", "visitor_id": "b"}, {"member_id": ""}, {"member_id": "a", "ttl": 0},
     {"member_id": "a", "ttl": 901}, {"member_id": "a" * 129}, {"member_id": "a", "alg": "none"}],
)  # fmt: skip
async def test_a_token_is_asked_for_in_full(shop: Shop, body: dict[str, Any]) -> None:
    assert (await shop.post(TOKENS, shop.server, body)).status_code == 422


async def test_a_browsers_events_count_for_its_own_subject(shop: Shop) -> None:
    token = await shop.token(member_id=ANN)
    before = (await shop.get(RECOMMENDATIONS, token)).json()["items"]
    bought = before[0]["product_id"]
    assert (
        await shop.post(EVENTS, token, {"events": [event("purchase", bought, quantity=1)]})
    ).json() == {"accepted": 1, "duplicates": 0}
    after = (await shop.get(RECOMMENDATIONS, shop.server, member_id=ANN)).json()["items"]
    assert bought not in [item["product_id"] for item in after]
    mixed = [event("view", "p10"), event("view", "p10", member_id=BOB)]
    assert (await shop.post(EVENTS, token, {"events": mixed})).status_code == 403


async def test_a_publishable_key_records_what_visitors_do_and_no_sales(shop: Shop) -> None:
    seen = [event("view", "p10", visitor_id="v1"), event("click", "p11")]
    assert (await shop.post(EVENTS, shop.publishable, {"events": seen})).status_code == 200
    for kind in ("purchase", "return"):
        sale = [event(kind, "p10", visitor_id="v1", quantity=1)]
        assert (await shop.post(EVENTS, shop.publishable, {"events": sale})).status_code == 403


async def test_a_browser_cannot_take_an_id_from_the_servers_events(shop: Shop) -> None:
    order = {**event("purchase", "p10", member_id=ANN, quantity=1), "event_id": "order-1"}
    squatter = {**event("view", "p10", visitor_id="v1"), "event_id": "order-1"}
    assert (await shop.post(EVENTS, shop.publishable, {"events": [squatter]})).status_code == 200
    stored = await shop.post(EVENTS, shop.server, {"events": [order]})
    assert stored.json() == {"accepted": 1, "duplicates": 0}


async def test_no_cache_may_keep_a_members_answer(shop: Shop) -> None:
    token = await shop.token(member_id=ANN)
    answer = await shop.get(RECOMMENDATIONS, token)
    assert answer.headers["cache-control"] == "private, no-store"
    made = await shop.post(TOKENS, shop.server, {"member_id": ANN})
    assert made.headers["cache-control"] == "no-store"


async def test_metrics_are_for_this_machine_and_the_server_key(shop: Shop) -> None:
    app = shop.client._transport.app  # type: ignore[attr-defined]
    found = {}
    for host in ("127.0.0.1", "192.0.2.1"):
        transport = httpx.ASGITransport(app, client=(host, 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            for text in ("", shop.publishable, shop.server):
                headers = bearer(text) if text else {}
                found[host, text] = (await client.get("/metrics", headers=headers)).status_code
    assert [status for (host, _), status in found.items() if host == "127.0.0.1"] == [200] * 3
    assert [status for (host, _), status in found.items() if host != "127.0.0.1"] == [401, 403, 200]


async def test_logs_hold_no_token_no_key_and_no_member(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore"):  # the client's, who knows what it asks
        caplog.set_level(logging.WARNING, logger=name)
    member = "a-member-like-no-other"
    token = await shop.token(member_id=member)
    await personal(shop, token, member)
    await personal(shop, token + "x", member)
    await personal(shop, shop.publishable, member)
    keys.add(shop.folder, "server", name="", now=NOW)
    for secret in (token, token.split(".")[2], member, shop.server, shop.publishable):
        assert secret not in caplog.text
