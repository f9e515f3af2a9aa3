"""The server under test: the real app on one core, with a route beside its own that does nothing.

    python -m benchmarks.serving.server --cores 0 --clock 2017-12-31T12:00:00Z

The settings are those of the environment. The port is printed once the app answers.
"""

import argparse
import importlib
import inspect
import os
import socket
from collections.abc import Iterator
from typing import Any

import msgspec
import uvicorn
from fastapi import FastAPI, Response
from fastapi.routing import APIRoute, APIRouter

READ_PATH = "/v1/recommendations"
NO_OP_PATH = f"{READ_PATH}/no-op"
NO_OP_BODY = msgspec.json.encode(
    {
        "request_id": "0" * 32,
        "model_version": "20171201T000000-0123456789ab",
        "items": [
            {
                "product_id": f"{1000000 + i}",
                "score": 0.123456,
                "source": "own",
                "reason": {
                    "code": "bought_before",
                    "text": "You bought this 12 days ago",
                    "evidence": [f"{1000000 + i}"],
                },
            }
            for i in range(20)
        ],
    }
)


def add_no_op(app: FastAPI, *, beside: str = READ_PATH) -> None:
    """Adds a route with the declared parameters, dependencies and middleware of another.

    It stands just before that one in the same router, so finding it costs the same.
    """
    router, route = next(
        (router, route)
        for router, route in _routes(app.router)
        if "GET" in (route.methods or ()) and beside.endswith(route.path)
    )

    async def no_op(**_: object) -> Response:
        return Response(NO_OP_BODY, media_type="application/json")

    no_op.__signature__ = inspect.signature(route.endpoint)  # type: ignore[attr-defined]
    router.add_api_route(f"{route.path}/no-op", no_op, methods=["GET"], include_in_schema=False)
    router.routes.insert(router.routes.index(route), router.routes.pop())


def _routes(router: APIRouter) -> Iterator[tuple[APIRouter, APIRoute]]:
    """Every route with the router that holds it, through included routers."""
    for route in router.routes:
        if isinstance(route, APIRoute):
            yield router, route
        elif isinstance(inner := getattr(route, "original_router", None), APIRouter):
            yield from _routes(inner)


class _Server(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if sockets and not self.should_exit:
            print(sockets[0].getsockname()[1], flush=True)


def serve(app: FastAPI) -> None:
    """Runs the app on a free port of this machine, one worker, until it is told to end."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, loop="uvloop", http="httptools", access_log=False, log_level="warning"
    )
    _Server(config).run(sockets=[listener])


def free_port() -> int:
    """One of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def load_app(name: str, clock: str) -> FastAPI:
    """The app that MODULE:FACTORY makes of a clock's start."""
    module, _, factory = name.partition(":")
    app: Any = getattr(importlib.import_module(module), factory)(clock)
    if not isinstance(app, FastAPI):
        raise TypeError(f"{name} made a {type(app).__name__}, not a FastAPI app")
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--app", default="benchmarks.serving.composition:create_app")
    parser.add_argument("--clock", required=True, metavar="INSTANT")
    parser.add_argument("--cores", required=True, help="0,1")
    arguments = parser.parse_args()
    # before the app's libraries are imported: threads that they start then stay on these cores
    os.sched_setaffinity(0, {int(core) for core in arguments.cores.split(",")})
    app = load_app(arguments.app, arguments.clock)
    add_no_op(app)
    serve(app)
