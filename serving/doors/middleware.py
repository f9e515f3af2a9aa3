"""The doors as ASGI middleware: what is not let in never reaches the app, nor is its body read."""

import json

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.doors.access import CALLER, DeniedError
from serving.doors.door import Doors

PREFLIGHT_SECONDS = 3600


def add(app: FastAPI, doors: Doors) -> None:
    """Put the app behind them. What is added later stands before them."""
    app.add_middleware(DoorMiddleware, doors=doors)
    if doors.settings.origins:  # outside, so that a page can read a refusal, too
        app.add_middleware(
            CORSMiddleware,
            allow_origins=doors.settings.origins,
            allow_methods=["GET", "POST", "PUT"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After", "WWW-Authenticate"],
            max_age=PREFLIGHT_SECONDS,
        )


class DoorMiddleware:
    """Names the caller in the scope, or answers 401, 403 or 429."""

    def __init__(self, app: ASGIApp, *, doors: Doors) -> None:
        self._app = app
        self._doors = doors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            if scope["type"] == "lifespan":  # there are no websockets to let in
                await self._app(scope, receive, send)
            return
        try:
            caller = self._doors.admit(scope)
        except DeniedError as error:
            await _refuse(send, error)
            return
        scope[CALLER] = caller
        await self._app(scope, receive, _unshared(send) if caller.kind == "token" else send)


def _unshared(send: Send) -> Send:
    """Adds that no cache between us and the browser may hand one member's answer to another."""

    async def marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message["headers"], (b"cache-control", b"private, no-store")]
        await send(message)

    return marked


async def _refuse(send: Send, error: DeniedError) -> None:
    content = json.dumps({"detail": error.detail, "field": None}).encode()
    headers = [(b"content-type", b"application/json"), *error.headers]
    headers.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": error.status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
