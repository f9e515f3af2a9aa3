"""The demo shop's page, and the few facts that it needs and the API does not give."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isnan
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, HTTPException, Query, Request, Response
from fastapi.responses import RedirectResponse

from recsys.model import Model
from serving.schemas import Id

PAGE = Path(__file__).with_name("page")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
}
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cache-control": "no-cache",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class Shopper:
    """A member that the page lets one be."""

    member_id: str
    note: str
    """why this one is worth looking at; members of one note stand together"""
    coupon_id: str | None = None
    """what a campaign sent them"""


def mount(
    app: FastAPI,
    *,
    now: Callable[[], datetime],
    shoppers: Sequence[Shopper],
    currency: str,
) -> None:
    """Add the page at /shop/ to the service, and make / lead there. `currency` as in ISO 4217.
    What it shows is of the model that the service answers from."""
    files = {path.name: path.read_bytes() for path in PAGE.iterdir() if path.suffix in TYPES}
    routes = APIRouter(include_in_schema=False)

    @routes.get("/")
    async def home() -> Response:
        return RedirectResponse("/shop/")

    @routes.get("/shop/members")
    async def members(request: Request) -> dict[str, Any]:
        """Who can be picked, and what time the service has: events carry its clock."""
        model = _published(request)
        return {
            "now": now().isoformat(),
            "currency": currency,
            "members": [
                {
                    "member_id": one.member_id,
                    "note": one.note,
                    "coupon_id": one.coupon_id,
                    "usual": _usual(model, one.member_id),
                }
                for one in shoppers
            ],
        }

    @routes.get("/shop/products")
    async def products(
        request: Request, ids: Annotated[list[Id], Query(max_length=200)]
    ) -> dict[str, Any]:
        """What is known of products by id; ids that the model lacks are left out."""
        model = _published(request)
        rows = {one: row for one in ids if (row := model.products.row(one)) is not None}
        return {one: _facts(model, one, row) for one, row in rows.items()}

    @routes.get("/shop/{name:path}")
    async def page(name: str) -> Response:
        name = name or "index.html"
        if name not in files:
            raise HTTPException(404, f"the shop has no page {name!r}")
        return Response(files[name], media_type=TYPES[Path(name).suffix], headers=HEADERS)

    app.include_router(routes)


def _published(request: Request) -> Model:
    model: Model = request.app.state.published.ranker.model
    return model


def _facts(model: Model, product_id: str, row: int) -> dict[str, Any]:
    price = float(model.prices[row])
    return {
        "title": model.titles[row] or f"Product {product_id}",
        "category": [level for level in model.categories[row].split(" > ") if level],
        "price": None if isnan(price) else round(price, 2),
    }


def _usual(model: Model, member_id: str) -> str | None:
    """The title at the top of a member's list."""
    member = model.members.row(member_id)
    if member is None:
        return None
    start, stop = (int(at) for at in model.base.offsets[member : member + 2])
    if start == stop:
        return None
    first = int(model.base.products[start])
    return model.titles[first] or f"Product {model.products.text(first)}"
