"""The service over HTTP: lists, events, problems, and its feed on SQLite and on Redis."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from shutil import copytree
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.artifact import MANIFEST, current
from recsys.errors import ModelError
from serving.schemas import Coupons, Problem, Recommendations
from tests.redis_server import RedisServer
from tests.serving.live import (
    EVENTS,
    NOW,
    RECOMMENDATIONS,
    SELLABLE,
    Clock,
    event,
    in_process,
    items,
    products,
    send,
    service,
    unrotated,
)
from tests.small_shop import BUNDLES, MEMBERS, PRODUCTS

pytestmark = pytest.mark.anyio
ROOT = Path(__file__).parents[2]
ANN, BOB = MEMBERS[0], MEMBERS[1]
SMALL = SELLABLE["small_model"]
WHO: list[dict[str, str]] = [
    {"member_id": ANN},
    {"member_id": "a stranger ✓"},
    {"visitor_id": "v1"},
    {"member_id": ANN, "visitor_id": "v1"},
    {},
]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["sqlite", pytest.param("redis", marks=pytest.mark.redis)])
def feed_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return str(tmp_path / "feed.db")
    server: RedisServer = request.getfixturevalue("redis_server")
    return server.url


@pytest.fixture
async def client(
    small_model: Path, feed_url: str, clock: Clock
) -> AsyncIterator[httpx.AsyncClient]:
    async with in_process(service(small_model, feed_url, clock)) as client:
        yield client


@pytest.fixture(scope="module")
async def reader(
    small_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[httpx.AsyncClient]:
    """For tests that write nothing."""
    folder = tmp_path_factory.mktemp("reader")
    of = service(small_model, str(folder / "feed.db"), max_events=3, placements=unrotated(folder))
    async with in_process(of) as client:
        yield client


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize(
    "page", [{}, {"placement": "product", "product_id": "p10"}, {"placement": "cart", "cart": "p3"}]
)
@pytest.mark.parametrize("limit", [1, 20, len(SMALL) - 1, 100])
async def test_everybody_gets_a_full_list(
    reader: httpx.AsyncClient, who: dict[str, str], page: dict[str, str], limit: int
) -> None:
    found = products(await items(reader, **who, **page, limit=limit))
    allowed = SMALL - {page.get("product_id")}
    assert len(found) == len(set(found)) == min(limit, len(allowed))
    assert set(found) <= allowed


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    who=st.sampled_from(WHO),
    placement=st.sampled_from(["home", "product", "cart"]),
    product=st.sampled_from([*PRODUCTS, "unheard of"]),
    cart=st.lists(st.sampled_from(PRODUCTS), max_size=5),
    exclude=st.one_of(
        st.lists(st.sampled_from([*PRODUCTS, "unheard of"]), max_size=8),
        st.sets(st.sampled_from(PRODUCTS), min_size=len(PRODUCTS) - 5).map(sorted),
    ),
    limit=st.integers(1, 100),
)
async def test_what_is_shown_or_excluded_is_never_proposed(
    *,
    reader: httpx.AsyncClient,
    who: dict[str, str],
    placement: str,
    product: str,
    cart: list[str],
    exclude: list[str],
    limit: int,
) -> None:
    asked = {**who, "placement": placement, "product_id": product, "limit": limit}
    asked |= {"cart": cart, "exclude": exclude}
    found = products(await items(reader, **asked))
    allowed = SMALL - {product, *cart, *exclude}
    assert len(found) == len(set(found)) == min(limit, len(allowed))
    assert set(found) <= allowed
    posted = await reader.post(RECOMMENDATIONS, json=asked)
    assert products(posted.json()["items"]) == found


@pytest.mark.parametrize("who", [{"member_id": ANN}, {"member_id": "new"}, {"visitor_id": "v9"}])
@pytest.mark.parametrize("kind", ["view", "purchase"])
async def test_an_event_counts_on_the_next_request(
    client: httpx.AsyncClient, who: dict[str, str], kind: str
) -> None:
    first = BUNDLES[1][0]
    others = [one for one in (*WHO, {"member_id": BOB}) if not who.items() <= one.items()]
    before = products(await items(client, **who, limit=100))
    lists_of_others = [await items(client, **other, limit=20) for other in others]

    assert await send(client, event(kind, first, **who)) == {"accepted": 1, "duplicates": 0}

    after = await items(client, **who, limit=100)
    assert products(after) != before
    assert any(item["reason"]["evidence"].get("product_id") == first for item in after)
    assert (first in products(after)) is (kind == "view")
    assert [await items(client, **other, limit=20) for other in others] == lists_of_others


async def test_what_was_bought_comes_back_after_its_rest(
    client: httpx.AsyncClient, clock: Clock
) -> None:
    await send(client, event("purchase", "p10", member_id=ANN))
    for hours, there in ((0, False), (11.9, False), (12.1, True)):
        clock.at = NOW + timedelta(hours=hours)
        assert ("p10" in products(await items(client, member_id=ANN, limit=100))) is there


async def test_an_event_sent_twice_counts_once(client: httpx.AsyncClient) -> None:
    one, two = event("view", "p10", member_id=ANN), event("view", "p20", member_id=ANN)
    assert await send(client, one, one) == {"accepted": 1, "duplicates": 1}
    once = await items(client, member_id=ANN)
    assert await send(client, one, two) == {"accepted": 1, "duplicates": 1}
    assert await send(client, two, one) == {"accepted": 0, "duplicates": 2}
    assert await send(client, one) == {"accepted": 0, "duplicates": 1}
    twice = await items(client, member_id=ANN)
    assert once != twice
    assert twice == await items(client, member_id=ANN)


async def test_events_survive_the_service(small_model: Path, feed_url: str) -> None:
    of = service(small_model, feed_url)
    async with in_process(of) as client:
        await send(client, event("purchase", "p10", member_id=ANN))
        before = await items(client, member_id=ANN)
    async with in_process(of) as client:
        assert await items(client, member_id=ANN) == before


async def test_events_that_the_model_contains_do_not_count_again(
    small_model: Path, feed_url: str, tmp_path: Path
) -> None:
    home = tmp_path / "drained"
    copytree(small_model / "models", home / "models")
    contains_two(home)
    with pytest.raises(ModelError, match="contains 2"):
        async with in_process(service(home, feed_url)):
            pass
    async with in_process(service(small_model, feed_url)) as client:
        of_the_model = await items(client, member_id=ANN)
        await send(client, *(event("view", product, member_id=ANN) for product in ("p10", "p20")))
        assert await items(client, member_id=ANN) != of_the_model
    async with in_process(service(home, feed_url)) as client:
        assert await items(client, member_id=ANN) == of_the_model
        await send(client, event("view", "p20", member_id=ANN))
        assert await items(client, member_id=ANN) != of_the_model


def contains_two(home: Path) -> None:
    """The published model says that it contains the feed's first two events."""
    path = home / "models" / str(current(home / "models")) / MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | {"feed": {"0": 2}}))


async def test_a_search_and_an_unknown_product_are_accepted(client: httpx.AsyncClient) -> None:
    before = products(await items(client, member_id=ANN, limit=100))
    sent = await send(
        client,
        event("search", None, member_id=ANN, query="milk \u0000 ✓"),
        event("view", "not in the catalogue", member_id=ANN),
        event("purchase", "not in the catalogue", member_id=ANN, quantity=0.5, amount=0),
        event("purchase", "p10"),
    )
    assert sent["accepted"] == 4
    assert products(await items(client, member_id=ANN, limit=100)) == before


def batch(**changed: Any) -> dict[str, Any]:
    return {"events": [{**event("view", "p10", member_id=ANN), **changed}]}


AT = "events.0.occurred_at"
LATE = (NOW + timedelta(seconds=301)).isoformat()
BAD_BATCHES: dict[str, tuple[dict[str, Any], str]] = {
    "the future": (batch(occurred_at=LATE), AT),
    "a naive time": (batch(occurred_at="2025-05-01T09:00:00"), AT),
    "a year that no dataset keeps": (batch(occurred_at="1989-12-31T23:59:59Z"), AT),
    "the year 0": (batch(occurred_at="0001-01-01T00:00:00+23:59"), AT),
    "no time": (batch(occurred_at="yesterday"), AT),
    "an unknown kind": (batch(kind="looked"), "events.0.kind"),
    "a purchase of nothing": (batch(kind="purchase", quantity=0), "events.0"),
    "less than nothing": (batch(quantity=-1), "events.0.quantity"),
    "no product": (batch(product_id=None), "events.0"),
    "an empty id": (batch(member_id=""), "events.0.member_id"),
    "a blank id": (batch(visitor_id="\u3000 "), "events.0.visitor_id"),
    "a long id": (batch(event_id="e" * 129), "events.0.event_id"),
    "half a surrogate": (batch(product_id="\ud800"), "events.0.product_id"),
    "an unknown field": (batch(colour="red"), "events.0.colour"),
    "an unknown field beside": ({**batch(), "shop": 1}, "shop"),
    "no events": ({"events": []}, "events"),
    "nothing": ({}, "events"),
    "too many": ({"events": [event("view", "p1") for _ in range(4)]}, "events"),
    "the second": ({"events": [*batch()["events"], *batch(kind="no")["events"]]}, "events.1.kind"),
}


def problem_of(answer: httpx.Response) -> Problem:
    """Every problem has one shape."""
    assert answer.headers["content-type"] == "application/json"
    assert set(answer.json()) == {"detail", "field"}
    return Problem.model_validate_json(answer.content, strict=True)


@pytest.mark.parametrize("what", BAD_BATCHES)
async def test_a_bad_batch_is_refused_whole_and_its_field_named(
    reader: httpx.AsyncClient, what: str
) -> None:
    body, field = BAD_BATCHES[what]
    before = await items(reader, member_id=ANN)
    content = msgspec.json.encode(body) if what != "half a surrogate" else (
        b'{"events":[{"event_id":"e","kind":"view","occurred_at":"2025-05-01T00:00:00Z",'
        b'"product_id":"\\ud800"}]}'
    )  # fmt: skip
    headers = {"content-type": "application/json"}
    answer = await reader.post(EVENTS, content=content, headers=headers)
    assert answer.status_code == 422, answer.text
    assert problem_of(answer).field == field
    assert await items(reader, member_id=ANN) == before


async def test_five_minutes_ahead_is_still_accepted(client: httpx.AsyncClient) -> None:
    await send(client, event("view", "p10", NOW + timedelta(seconds=300), member_id=ANN))


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "field"),
    [
        ("POST", EVENTS, b'{"events": [', 422, None),
        ("POST", EVENTS, b"", 422, ""),
        ("POST", EVENTS, b'{"\xff": 1}', 400, None),
        ("POST", EVENTS, b"[" * 100_000, 400, None),
        ("POST", RECOMMENDATIONS, b'{"limit": 0}', 422, "limit"),
        ("POST", RECOMMENDATIONS, b'{"limit": 101}', 422, "limit"),
        ("POST", RECOMMENDATIONS, b'{"limit": true}', 422, "limit"),
        ("POST", RECOMMENDATIONS, b'{"debug": "yes"}', 422, "debug"),
        (
            "PATCH",
            "/v1/products",
            b'{"products": [{"product_id": "p1", "price": true}]}',
            422,
            "products.0.price",
        ),
        ("POST", RECOMMENDATIONS, b'{"member": "x"}', 422, "member"),
        ("GET", f"{RECOMMENDATIONS}?limit=101", b"", 422, "limit"),
        ("GET", f"{RECOMMENDATIONS}?limit=many", b"", 422, "limit"),
        ("GET", f"{RECOMMENDATIONS}?placement=roof", b"", 422, "placement"),
        ("GET", f"{RECOMMENDATIONS}?placement=product", b"", 422, "product_id"),
        ("GET", f"{RECOMMENDATIONS}?member_id=", b"", 422, "member_id"),
        ("GET", "/v1/coupons", b"", 422, "member_id"),
        ("GET", "/v1/coupons?member_id=x&limit=51", b"", 422, "limit"),
        ("GET", "/v1/nowhere", b"", 404, None),
        ("DELETE", EVENTS, b"", 405, None),
    ],
)
async def test_every_refusal_says_what_and_where(
    *,
    reader: httpx.AsyncClient,
    method: str,
    path: str,
    body: bytes,
    status: int,
    field: str | None,
) -> None:
    headers = {"content-type": "application/json"} if body else {}
    answer = await reader.request(method, path, content=body, headers=headers)
    assert answer.status_code == status
    problem = problem_of(answer)
    assert problem.detail
    assert (problem.field or None) == (field or None)


def fits(value: Any, schema: dict[str, Any]) -> bool:
    """Whether a value has the shape that the document declares; unknown fields do not."""
    if "anyOf" in schema:
        return any(fits(value, one) for one in schema["anyOf"])
    kind = schema["type"]
    if kind == "object":
        known = schema["properties"]
        required = set(schema.get("required", []))
        return (
            isinstance(value, dict)
            and required <= set(value) <= set(known)
            and all(fits(value[name], known[name]) for name in value)
        )
    if kind == "array":
        return isinstance(value, list) and all(fits(one, schema["items"]) for one in value)
    of = {"string": str, "number": (int, float), "integer": int, "null": type(None)}[kind]
    return isinstance(value, of)  # type: ignore[arg-type]


async def test_answers_are_as_the_openapi_document_says(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    await send(client, event("view", "p10", member_id=ANN))
    cases: list[tuple[str, str, type, dict[str, Any]]] = [
        ("get", RECOMMENDATIONS, Recommendations, {"params": {"member_id": ANN, "limit": 100}}),
        ("get", RECOMMENDATIONS, Recommendations, {"params": {"cart": ["p10", "p33"]}}),
        ("post", RECOMMENDATIONS, Recommendations, {"json": {"member_id": ANN}}),
        ("get", "/v1/coupons", Coupons, {"params": {"member_id": ANN}}),
    ]
    for method, path, shape, asked in cases:
        declared = document["paths"][path][method]["responses"]
        schema = declared["200"]["content"]["application/json"]["schema"]
        answer = await client.request(method, path, **asked)
        assert answer.headers["content-type"] == "application/json"
        assert answer.json()["items"]
        assert fits(answer.json(), schema)
        assert not fits({**answer.json(), "more": 1}, schema)
        assert not fits({**answer.json(), "items": [{"product_id": 1}]}, schema)
        assert msgspec.to_builtins(msgspec.json.decode(answer.content, type=shape)) == answer.json()
        assert {"413", "422", "503"} <= set(declared)


async def test_each_answer_has_an_id_of_its_own_and_names_its_model(
    reader: httpx.AsyncClient,
) -> None:
    answers = [(await reader.get(RECOMMENDATIONS)).json() for _ in range(5)]
    ready = (await reader.get("/readyz")).json()
    assert len({answer["request_id"] for answer in answers}) == 5
    assert {answer["model_version"] for answer in answers} == {ready["model_version"]}
    assert ready["model_as_of"] == "2025-05-01"
    assert (await reader.get("/livez")).json() == {"live": True}


@pytest.mark.redis
async def test_without_its_feed_the_service_answers_from_the_model_and_takes_no_events(
    small_model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    server = RedisServer(tmp_path)
    server.start()
    try:
        async with in_process(service(small_model, server.url)) as client:
            of_the_model = await items(client, member_id=ANN)
            lost = event("view", "p20", member_id=ANN)
            await send(client, event("view", "p10", member_id=ANN))
            with_event = await items(client, member_id=ANN)
            assert with_event != of_the_model

            server.kill()
            answer = await client.post(EVENTS, json={"events": [lost]})
            assert answer.status_code == 503
            assert "again" in problem_of(answer).detail
            assert await items(client, member_id=ANN) == of_the_model
            assert "answering from the model alone" in caplog.text

            server.start()
            assert await items(client, member_id=ANN) == with_event
            assert await send(client, lost) == {"accepted": 1, "duplicates": 0}
        assert ANN not in caplog.text
    finally:
        server.kill()


@pytest.mark.redis
async def test_a_weak_redis_is_said_in_readyz(
    small_model: Path, tmp_path: Path, redis_server: RedisServer
) -> None:
    async def warnings() -> list[str]:
        async with in_process(service(small_model, redis_server.url)) as client:
            return list((await client.get("/readyz")).json()["feed_warnings"])

    with redis_server.client() as admin:
        admin.config_set("maxmemory-policy", "noeviction")
        assert await warnings() == []
        admin.config_set("appendfsync", "everysec")
        try:
            (said,) = await warnings()
        finally:
            admin.config_set("appendfsync", "always")
    assert "appendfsync" in said


async def test_an_app_that_cannot_start_closes_its_feed(tmp_path: Path) -> None:
    of = service(tmp_path, str(tmp_path / "feed.db"))
    with pytest.raises(ModelError):
        async with in_process(of):
            pass
    open_files = [descriptor.resolve() for descriptor in Path("/proc/self/fd").iterdir()]
    assert (tmp_path / "feed.db").exists()
    assert tmp_path / "feed.db" not in open_files


SECRET_MEMBER, SECRET_VISITOR = "member-kept-quiet-731", "visitor-kept-quiet-731"


@pytest.fixture(scope="module")
def process(
    small_model: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[httpx.Client, subprocess.Popen[bytes], Path]]:
    """`guesslike serve` as an operator starts it."""
    home = tmp_path_factory.mktemp("served")
    (home / "models").symlink_to(small_model / "models")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not re.search("_NUM_THREADS$|^GUESSLIKE_", name)
    }
    set_here = {"GUESSLIKE_HOME": str(home), "GUESSLIKE_SERVING__PORT": port}
    command = [sys.executable, "-m", "guesslike", "serve", "--clock", NOW.isoformat()]
    output = home / "output"
    with (
        output.open("wb") as log,
        subprocess.Popen(
            command, cwd=ROOT, env=inherited | set_here, stdout=log, stderr=subprocess.STDOUT
        ) as serving,
        httpx.Client(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        try:
            deadline = time.monotonic() + 60
            while not answers(client):
                assert serving.poll() is None, output.read_text()
                assert time.monotonic() < deadline
                time.sleep(0.1)
            yield client, serving, output
        finally:
            serving.terminate()


def answers(client: httpx.Client) -> bool:
    try:
        return client.get("/livez").status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.slow
def test_started_by_its_command_it_uses_one_blas_thread(
    process: tuple[httpx.Client, subprocess.Popen[bytes], Path],
) -> None:
    ready = process[0].get("/readyz").json()
    assert ready["ready"] is True
    assert ready["blas_threads"] == 1
    assert ready["feed_warnings"] == []


@pytest.mark.slow
def test_its_log_names_no_member(
    process: tuple[httpx.Client, subprocess.Popen[bytes], Path],
) -> None:
    client, _, output = process
    who = {"member_id": SECRET_MEMBER, "visitor_id": SECRET_VISITOR}
    sent = [event("view", "p10", **who), event("purchase", "p20", **who)]
    assert client.post(EVENTS, json={"events": sent}).json()["accepted"] == 2
    assert client.get(RECOMMENDATIONS, params=who).status_code == 200
    assert client.get("/v1/coupons", params={"member_id": SECRET_MEMBER}).status_code == 200
    assert client.get(RECOMMENDATIONS, params={**who, "limit": 0}).status_code == 422
    bad = {"events": [event("view", None, **who)]}
    assert client.post(EVENTS, json=bad).status_code == 422
    assert client.get(f"/v1/nowhere/{SECRET_MEMBER}").status_code == 404
    login = {"member_id": SECRET_MEMBER}
    path = f"/v1/visitors/{SECRET_VISITOR}/identify"
    assert client.post(path, json=login).status_code == 200
    assert client.delete(f"/v1/members/{SECRET_MEMBER}").status_code == 200
    logged = output.read_text()
    assert "answering on http" in logged, "the log is read where it is written"
    assert SECRET_MEMBER not in logged
    assert SECRET_VISITOR not in logged
