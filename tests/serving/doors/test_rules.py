"""The table of routes: none is missing in it, and what is missing is shut."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.routing import BaseRoute, Route

import composition
from serving.doors.rules import RULES, SHOP, rule_of
from serving.shop import mount
from tests.serving.live import NOW


def names(routes: list[BaseRoute]) -> Iterator[str]:
    for route in routes:
        if isinstance(route, Route):
            yield from (f"{m} {route.path}" for m in route.methods or () if m != "HEAD")
        elif inner := getattr(route, "original_router", route).__dict__.get("routes"):
            yield from names(inner)  # an included router, as FastAPI keeps it by now
        else:
            raise AssertionError(f"{route!r} is of a kind that this walk does not know")


@pytest.fixture(scope="module")
def whole(small_model: Path) -> FastAPI:
    """All that one process answers: the service, the campaigns' pages, the demo's shop."""
    settings = composition.Settings(home=small_model)
    app = composition.serving_composition(settings).app(lambda: NOW, simulated=True)
    mount(app, now=lambda: datetime.now(UTC), shoppers=[], currency="EUR")
    return app


def test_every_route_has_its_entry_and_every_entry_its_route(whole: FastAPI) -> None:
    built = set(names(whole.routes))
    assert {"GET /v1/recommendations", "POST /u/{token}", "GET /shop/members"} <= built
    assert built - set(RULES) == set(), "say in serving/doors/rules.py who is let in"
    assert set(RULES) - built == set(), "entries without a route"


@pytest.mark.parametrize("name", RULES)
def test_a_request_finds_the_entry_of_its_route(name: str) -> None:
    method, template = name.split(" ")
    plain = template.replace("{name:path}", "draw.js").replace(":path", "")
    rule, member = rule_of(
        method,
        plain.format(
            member_id="ann", visitor_id="v", token="t", order_id="o", push_id="p", provider="mail"
        ),
    )
    assert rule == RULES[name]
    assert member == ("ann" if "{member_id" in template else None)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/new"),
        ("DELETE", "/v1/recommendations"),
        ("OPTIONS", "/v1/coupons"),
        ("GET", "/v1/coupons/"),
        ("GET", "//v1/coupons"),
        ("GET", "/V1/coupons"),
        ("GET", "/u/a/b"),
        ("GET", "/livez/../v1/coupons"),
        ("GET", ""),
    ],
)
def test_what_is_not_in_the_table_is_for_server_keys_alone(method: str, path: str) -> None:
    assert rule_of(method, path)[0].admits == SHOP


def test_a_member_may_be_called_like_the_template() -> None:
    path = "/v1/members/{member_id}/preferences"
    rule = RULES["GET /v1/members/{member_id:path}/preferences"]
    assert rule_of("GET", path) == (rule, "{member_id}")


def test_head_is_let_in_like_get() -> None:
    assert rule_of("HEAD", "/v1/coupons") == rule_of("GET", "/v1/coupons")
