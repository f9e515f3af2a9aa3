"""The service behind doors, and what a test needs to stand before them."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

import composition
from campaigns.app import routes
from serving.app import create_app
from serving.doors import keys
from tests.serving.live import NOW, Clock, service
from tests.small_shop import MEMBERS

ANN, BOB = MEMBERS[0], MEMBERS[1]
ENDLESS = {f"{who}_{what}": 10**9 for who in ("server", "token", "public")
           for what in ("rate", "burst")}  # fmt: skip
"""limits that no test reaches"""


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


@dataclass(frozen=True)
class Shop:
    """The app in this process, a server key and a publishable key."""

    client: httpx.AsyncClient
    clock: Clock
    folder: Path
    server: str
    publishable: str

    async def token(self, key: str | None = None, **body: Any) -> str:
        """What the shop's server gets for a browser."""
        headers = bearer(key or self.server)
        answer = await self.client.post("/v1/tokens", json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    async def get(self, path: str, text: str, **params: Any) -> httpx.Response:
        return await self.client.get(path, params=params, headers=bearer(text))

    async def post(self, path: str, text: str, body: Any) -> httpx.Response:
        return await self.client.post(path, json=body, headers=bearer(text))


@asynccontextmanager
async def behind_doors(models: Path, folder: Path, **doors: Any) -> AsyncIterator[Shop]:
    """A service whose folder holds one key of each kind."""
    folder.mkdir(exist_ok=True)
    _, server = keys.add(folder, "server", name="shop", now=NOW)
    _, publishable = keys.add(folder, "publishable", name="page", now=NOW)
    async with opened(models, folder, **doors) as (client, clock):
        yield Shop(client, clock, folder, server, publishable)


@asynccontextmanager
async def opened(
    models: Path, folder: Path, **doors: Any
) -> AsyncIterator[tuple[httpx.AsyncClient, Clock]]:
    """A service over a folder as it is."""
    clock = Clock()
    of = replace(service(models, str(folder / "feed.db"), clock, doors=doors), folder=folder)
    app = create_app(of)
    settings = composition.Settings(home=folder)
    app.include_router(routes(composition.campaign_composition(settings, clock, name="simulated")))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client,
    ):
        yield client, clock
