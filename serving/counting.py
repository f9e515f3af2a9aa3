"""Counts every request, at the outermost layer: refusals of other layers are answers too."""

from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.metrics import Metrics

UNMATCHED = "none"
"""The route of an address that nobody answers: the address itself may hold anything."""
CLIENT_GONE = 499
"""nginx's number for a client that left before the answer began"""


class Counting:
    """ASGI middleware: method, the route's template, status and time of each request."""

    def __init__(self, app: ASGIApp, *, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 0

        async def noted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        metrics = self._metrics
        metrics.begin()
        begun = perf_counter()
        try:
            await self._app(scope, receive, noted)
        except Exception:
            status = status or 500  # the server's answer to a defect is given further out
            raise
        finally:
            route = getattr(scope.get("route"), "path", UNMATCHED)
            seconds = perf_counter() - begun
            metrics.answered(scope["method"], route, status or CLIENT_GONE, seconds)
