"""Asks an app in this process, from any thread."""

import asyncio

import httpx
from fastapi import APIRouter, FastAPI


class Asked:
    """The routes of a router, one connection a request."""

    def __init__(self, router: APIRouter) -> None:
        self._app = FastAPI()
        self._app.include_router(router)
        self._app.openapi()  # builds the routes: not safe where the first requests come at once

    def __call__(self, method: str, path: str, **facts: object) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
                return await client.request(method, path, **facts)

        return asyncio.run(ask())
