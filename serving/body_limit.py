"""Refuses a body that is larger than the service reads."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.schemas import Problem

READ_ON = 16
"""So many times the limit is read and dropped: a client that is cut off while it sends sees a
reset connection and never the answer."""


class BodyLimit:
    """ASGI middleware: 413 for a body over `most` bytes, announced or not."""

    def __init__(self, app: ASGIApp, *, most: int) -> None:
        self._app = app
        self._most = most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See the ASGI specification."""
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD"):
            await self._app(scope, receive, send)
            return
        body, size, more = b"", 0, True
        while more and size <= READ_ON * self._most:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            piece = message.get("body", b"")
            size, more = size + len(piece), message.get("more_body", False)
            if size <= self._most:
                body += piece
        if size > self._most:
            await _refuse(send, self._most)
            return
        await self._app(scope, _replay(body, receive), send)


def _replay(body: bytes, receive: Receive) -> Receive:
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


async def _refuse(send: Send, most: int) -> None:
    problem = Problem(detail=f"a body has at most {most} bytes; send fewer events at a time")
    content = problem.model_dump_json().encode()
    headers = [(b"content-type", b"application/json"), (b"connection", b"close")]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": content})
