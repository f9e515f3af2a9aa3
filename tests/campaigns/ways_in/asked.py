"""Asks an app in this process, from any thread."""

import asyncio
from dataclasses import dataclass

import httpx
from fastapi import APIRouter, FastAPI


@dataclass(frozen=True)
class Asked:
    """The routes of a router, one connection a request."""

    router: APIRouter

    def __call__(self, method: str, path: str, **facts: object) -> httpx.Response:
        async def ask() -> httpx.Response:
            app = FastAPI()
            app.include_router(self.router)
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
                return await client.request(method, path, **facts)

        return asyncio.run(ask())
