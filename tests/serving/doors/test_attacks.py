"""Every described route that can name somebody, under every credential of somebody else: never."""

from collections.abc import AsyncIterator, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

import composition
from campaigns.ledger.consent import Statement, record
from serving.doors import keys, tokens
from serving.doors.rules import RULES, rule_of
from serving.doors.settings import DoorSettings
from serving.doors.tokens import Claims, Secret, sign
from serving.settings import ServingSettings
from tests.serving.doors.forgeries import packed, rewritten, unsigned
from tests.serving.doors.shop import ENDLESS, bearer
from tests.serving.live import NOW, Clock
from tests.small_shop import MEMBERS

pytestmark = pytest.mark.anyio
OWN = {"member": MEMBERS[0], "visitor": "visitor-of-ann"}
OTHERS = {"member": MEMBERS[1], "visitor": "visitor-of-bob"}
FITTING: dict[str, Any] = {
    "product_id": "p10",
    "event_id": "e1",
    "occurred_at": NOW.isoformat(),
    "kind": "view",
    "placement": "home",
    "coupon_id": "c4",
    "channels": {"email": {"push": True}},
}
"""by name of a field, what a request has to say so that it is refused for its sender alone"""
FREE = {("POST /v1/events", "visitor", "publishable key")}
"""A page without tokens records what its visitors do, under ids that the page makes up. Nothing
can be read by it, and a visitor's list needs a token."""


@dataclass(frozen=True)
class Asked:
    """A request in which one place names somebody; the other places name oneself."""

    operation: str
    names: str
    """"member" or "visitor": what the one place is for"""
    path: dict[str, Any] = field(default_factory=dict)
    query: dict[str, Any] = field(default_factory=dict)
    body: Any = None

    def __str__(self) -> str:
        return f"{self.operation} naming a {self.names}"


def subject(name: str, path: str = "") -> str | None:
    """Whether a field names a member or a visitor, by its name or by what its path is about."""
    for kind in OWN:
        if name == f"{kind}_id" or (name == "id" and f"/{kind}s/{{" in path):
            return kind
    return None


def requests(document: Mapping[str, Any]) -> Iterator[Asked]:
    """Each operation once for each place in which it can name somebody."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield from of_operation(document, f"{method.upper()} {path}", operation)


def of_operation(
    document: Mapping[str, Any], name: str, operation: Mapping[str, Any]
) -> Iterator[Asked]:
    path = name.partition(" ")[2]
    parts: dict[str, dict[str, Any]] = {"path": {}, "query": {}}
    places: list[tuple[str, str]] = []
    for parameter in operation.get("parameters", []):
        kind = subject(parameter["name"], path) if parameter["in"] in parts else None
        if kind:
            places.append((parameter["in"], parameter["name"]))
        if parameter.get("required"):
            parts[parameter["in"]][parameter["name"]] = (
                OWN[kind] if kind else example(document, parameter["schema"], parameter["name"])
            )
    content = operation.get("requestBody", {}).get("content", {}).get("application/json")
    body = None
    if content:
        body = example(document, content["schema"])
        places += [("body", found) for found in named_in(document, content["schema"])]
    for where, at in places:
        kind = subject(at.rpartition(".")[2], path)
        assert kind is not None
        asked = Asked(name, kind, dict(parts["path"]), dict(parts["query"]), deepcopy(body))
        put(getattr(asked, where), at, OTHERS[kind])
        yield asked


def resolved(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a reference leads to, and the first of several that is not null."""
    if "$ref" in schema:
        return resolved(document, document["components"]["schemas"][schema["$ref"].split("/")[-1]])
    several = [one for one in schema.get("anyOf", []) if one.get("type") != "null"]
    return resolved(document, several[0]) if several else schema


def example(document: Mapping[str, Any], schema: Mapping[str, Any], name: str = "") -> Any:
    """The least that fits, with OWN in required fields that name somebody."""
    schema = resolved(document, schema)
    if kind := subject(name):
        return OWN[kind]
    if name in FITTING:
        return FITTING[name]
    if schema.get("type") == "object":
        fields = schema.get("properties", {})
        wanted = set(schema.get("required", [])) | (fields.keys() & FITTING.keys())
        return {one: example(document, fields[one], one) for one in sorted(wanted)}
    if schema.get("type") == "array":
        return [example(document, schema["items"])] * schema.get("minItems", 0)
    plain = {"integer": schema.get("minimum", 1), "number": schema.get("minimum", 1),
             "boolean": True, "string": "x" * schema.get("minLength", 1)}  # fmt: skip
    return schema.get("enum", [plain[schema["type"]]])[0]


def named_in(document: Mapping[str, Any], schema: Mapping[str, Any], at: str = "") -> Iterator[str]:
    """The places of a body that can name somebody: `member_id`, `events.0.visitor_id`."""
    schema = resolved(document, schema)
    for name, inner in schema.get("properties", {}).items():
        if subject(name):
            yield f"{at}{name}"
        else:
            yield from named_in(document, inner, f"{at}{name}.")
    if "items" in schema:
        yield from named_in(document, schema["items"], f"{at}0.")


def put(part: Any, at: str, value: str) -> None:
    *way, last = at.split(".")
    for step in way:
        part = part[int(step) if step.isdecimal() else step]
    part[last] = value


@dataclass(frozen=True)
class Attacked:
    """The whole service behind its doors, seen from another machine."""

    client: httpx.AsyncClient
    server: str
    others: dict[str, str]
    """true tokens of somebody else's, by kind"""
    held: dict[str, tuple[str | None, int]]
    """what an attacker may hold, and what it is answered with"""

    async def ask(self, asked: Asked, credential: str | None) -> httpx.Response:
        method, _, template = asked.operation.partition(" ")
        return await self.client.request(
            method,
            template.format(**asked.path),
            params=asked.query,
            headers=bearer(credential) if credential else {},
            **({} if asked.body is None else {"json": asked.body}),
        )


@pytest.fixture
async def attacked(small_model: Path, tmp_path: Path) -> AsyncIterator[Attacked]:
    home = tmp_path / "home"
    home.mkdir()
    (home / "models").symlink_to(small_model / "models")
    (home / "dataset").symlink_to(small_model / "dataset")
    server, text = keys.add(home, "server", name="shop", now=NOW)
    revoked, _ = keys.add(home, "server", name="stolen", now=NOW)
    keys.revoke(home, revoked.id, now=NOW)
    _, publishable = keys.add(home, "publishable", name="page", now=NOW)
    tokens.renew(home, now=NOW)
    (long_ago,) = tokens.read(home)
    tokens.renew(home, now=NOW)
    tokens.renew(home, now=NOW)
    current = tokens.read(home)[-1]
    foreign = Secret(id=current.id, key="ab" * 32, created=NOW)
    in_time = int((NOW + timedelta(seconds=600)).timestamp())

    def said(whose: Mapping[str, str], kind: str, **other: Any) -> Claims:
        claims = Claims(kind, whose[kind], in_time, "guesslike", server.id)  # type: ignore[arg-type]
        return msgspec.structs.replace(claims, **other)

    held: dict[str, tuple[str | None, int]] = {
        "nothing": (None, 401),
        "made-up key": (f"gls_{server.id}_{'0' * 64}", 401),
        "another kind's prefix": (text.replace("gls_", "glp_"), 401),
        "publishable key": (publishable, 403),
    }
    for kind in OWN:
        own, theirs = sign(said(OWN, kind), current), said(OTHERS, kind)
        held |= {
            f"{kind}: own token": (own, 403),
            f"{kind}: own token, their claims": (rewritten(own, theirs), 401),
            f"{kind}: own token, cut": (own[:-1], 401),
            f"{kind}: signed by oneself": (sign(theirs, foreign), 401),
            f"{kind}: unsigned": (unsigned(theirs, "none"), 401),
            f"{kind}: no MAC": (f"glt1.{current.id}.{packed(theirs)}.", 401),
            f"{kind}: theirs, expired": (
                sign(said(OTHERS, kind, expires=int(NOW.timestamp())), current), 401,
            ),
            f"{kind}: theirs, of another installation": (
                sign(said(OTHERS, kind, audience="staging"), current), 401,
            ),
            f"{kind}: theirs, by a revoked key": (
                sign(said(OTHERS, kind, issuer=revoked.id), current), 401,
            ),
            f"{kind}: theirs, from before two renewals": (sign(theirs, long_ago), 401),
        }  # fmt: skip
    # called alike, but of the other kind
    member_as_visitor = Claims("visitor", OTHERS["member"], in_time, "guesslike", server.id)
    visitor_as_member = Claims("member", OTHERS["visitor"], in_time, "guesslike", server.id)
    held["visitor called like the member"] = (sign(member_as_visitor, current), 403)
    held["member called like the visitor"] = (sign(visitor_as_member, current), 403)

    settings = composition.Settings(
        home=home, serving=ServingSettings(doors=DoorSettings(**ENDLESS))
    )
    reached = Statement(OTHERS["member"], "email", "bob@example.invalid", True, NOW, "shop", "UTC")
    with composition.campaign_composition(
        settings, lambda: NOW, name="simulated"
    ).open_ledger() as ledger:
        record(ledger, [reached], now=NOW)
    app = composition.serving_composition(settings).app(Clock(), simulated=True)
    transport = httpx.ASGITransport(app, client=("192.0.2.1", 1))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://shop") as client,
    ):
        others = {kind: sign(said(OTHERS, kind), current) for kind in OTHERS}
        yield Attacked(client, text, others, held)


async def described(attacked: Attacked) -> list[Asked]:
    return list(requests((await attacked.client.get("/openapi.json")).json()))


async def test_every_place_that_names_somebody_is_found(attacked: Attacked) -> None:
    found = {(asked.operation, asked.names) for asked in await described(attacked)}
    both = ("GET /v1/recommendations", "POST /v1/recommendations", "POST /v1/events",
            "POST /v1/tokens")  # fmt: skip
    assert {(name, kind) for name in both for kind in OWN} <= found
    assert ("GET /v1/coupons", "member") in found
    names = {name.replace(":path}", "}") for name in RULES}
    personal = {name for name in names if "{member_id}" in name or "{visitor_id}" in name}
    document = (await attacked.client.get("/openapi.json")).json()
    there = {f"{method.upper()} {path}" for path, of in document["paths"].items() for method in of}
    assert personal & there <= {name for name, _ in found}


async def test_nobody_reads_or_changes_what_is_somebody_elses(attacked: Attacked) -> None:
    for asked in await described(attacked):
        for what, (credential, status) in attacked.held.items():
            answer = await attacked.ask(asked, credential)
            if (asked.operation, asked.names, what) in FREE:
                assert answer.status_code == 200
                continue
            assert answer.status_code == status, f"{asked} under {what}: {answer.text}"
            assert OTHERS["member"] not in answer.text
            assert OTHERS["visitor"] not in answer.text


async def test_the_shops_server_may_and_so_may_they_themselves(attacked: Attacked) -> None:
    """The same requests: it was the sender that was refused, and nothing else."""
    for asked in await described(attacked):
        answer = await attacked.ask(asked, attacked.server)
        assert answer.status_code < 300, f"{asked}: {answer.text}; say in FITTING what is missing"
        answer = await attacked.ask(asked, attacked.others[asked.names])
        method, _, path = asked.operation.partition(" ")
        if "token" in rule_of(method, path)[0].admits:
            assert answer.status_code < 300, f"{asked}: {answer.text}"
        else:
            assert answer.status_code == 403, f"{asked}: {answer.text}"
