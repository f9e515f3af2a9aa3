"""The real service for tests: in this process, or under a real uvicorn on a free port."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from recsys.coupons import Terms
from serving.app import Service, create_app
from serving.settings import ServingSettings
from tests.small_shop import END, PRODUCTS, SOLD_OUT

NOW = END + timedelta(hours=9)
TERMS = Terms(margin_rate=0.6, coupon_value=1.0, redemption_rate=0.3, incremental_share=0.8)
NARROW_SOLD_OUT = ("p00", "p03", "p10", "p20", "p41", SOLD_OUT)
"""in the narrow model; SOLD_OUT alone in the wide one"""
NEVER_BOUGHT = "p59"
SELLABLE = {
    "small_model": set(PRODUCTS) - {SOLD_OUT, NEVER_BOUGHT},
    "narrow_model": set(PRODUCTS) - {*NARROW_SOLD_OUT, NEVER_BOUGHT},
}
"""by fixture: what may be recommended"""
EVENTS = "/v1/events"
RECOMMENDATIONS = "/v1/recommendations"
_numbers = count()


@dataclass
class Clock:
    """Stands still until a test moves it."""

    at: datetime = NOW

    def __call__(self) -> datetime:
        return self.at


def service(home: Path, feed_url: str, clock: Clock | None = None, **settings: Any) -> Service:
    """The service over a home's models."""
    return Service(home / "models", feed_url, ServingSettings(**settings), TERMS, clock or Clock())


def unrotated(folder: Path) -> Path:
    """A placements file for tests that ask for one list again and again."""
    path = folder / "unrotated.yaml"
    path.write_text("home: {rotate: false}")
    return path


@asynccontextmanager
async def in_process(of: Service) -> AsyncIterator[httpx.AsyncClient]:
    """The app between its start and its end; defects raise here instead of a 500."""
    app = create_app(of)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client,
    ):
        yield client


@asynccontextmanager
async def under_uvicorn(of: Service) -> AsyncIterator[httpx.AsyncClient]:
    """The app behind real sockets, as `serve` runs it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(create_app(of), http="httptools", access_log=False, log_config=None)
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server.serve([listener]))
        address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            async with httpx.AsyncClient(base_url=address) as client:
                while not server.started:
                    assert not serving.done(), serving.result()
                    await asyncio.sleep(0.01)
                yield client
        finally:
            server.should_exit = True
            await serving


def event(kind: str, product: str | None, at: datetime = NOW, **more: Any) -> dict[str, Any]:
    """One event of a batch, under an id of its own."""
    given = {"event_id": f"live-{next(_numbers)}", "kind": kind, "product_id": product, **more}
    return {"occurred_at": at.isoformat(), **given}


async def send(client: httpx.AsyncClient, *events: dict[str, Any]) -> dict[str, int]:
    """Post a batch that must be accepted."""
    answer = await client.post(EVENTS, json={"events": list(events)})
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


async def items(client: httpx.AsyncClient, **wanted: Any) -> list[dict[str, Any]]:
    """The items of an answer that must be there."""
    answer = await client.get(RECOMMENDATIONS, params=wanted)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


def products(found: Iterable[dict[str, Any]]) -> list[str]:
    """Their product ids, in order."""
    return [item["product_id"] for item in found]
