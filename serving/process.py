"""One worker process: it listens, answers, and stops without failing a request."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from recsys.errors import SettingsError
from serving.settings import ServingSettings

log = logging.getLogger(__name__)

BACKLOG = 2048
"""connections that may wait to be taken; uvicorn's own number"""
STOPPING = "stopping"


def listen(settings: ServingSettings) -> socket.socket:
    """The configured address, open before anything is loaded: taken is told at once."""
    address = (settings.host, settings.port)
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        # not listening yet: until a worker is warm, a connection is refused and goes elsewhere
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise SettingsError(
            f"cannot listen on {settings.host} port {settings.port}: {error.strerror or error}. "
            "Set GUESSLIKE_SERVING__HOST and GUESSLIKE_SERVING__PORT"
        ) from None
    return listener


def answer(
    app: FastAPI,
    listener: socket.socket,
    settings: ServingSettings,
    *,
    started: Callable[[], None] = lambda: None,
) -> None:
    """Serve an app until SIGTERM or SIGINT; `started` is called once it is warm and listens."""
    config = uvicorn.Config(
        app,
        access_log=False,  # addresses of requests hold member ids
        log_config=None,
        loop="auto",
        http="httptools",
        backlog=BACKLOG,
        timeout_graceful_shutdown=settings.stop_seconds,
    )
    for number in (signal.SIGTERM, signal.SIGINT):
        # uvicorn raises the signal again when all is done; to have stopped is no failure
        signal.signal(number, lambda *_: None)
    _Server(config, app, settings, started).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Says in /readyz that it stops, for a while, before it does."""

    def __init__(
        self,
        config: uvicorn.Config,
        app: FastAPI,
        settings: ServingSettings,
        started: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._app = app
        self._notice = settings.stop_notice_seconds
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Warm first, then listen."""
        await super().startup(sockets)
        if sockets and not self.should_exit:
            host, port = sockets[0].getsockname()[:2]
            log.info("answering on http://%s:%d", f"[{host}]" if ":" in host else host, port)
            self._tell()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Give notice, take no new connection, finish what is in flight, close the feed."""
        self._app.state.unready = STOPPING
        log.info("stopping: requests in flight are finished")
        loop = asyncio.get_running_loop()
        until = loop.time() + self._notice
        while not self.force_exit and (left := until - loop.time()) > 0:
            await asyncio.sleep(min(left, 0.1))
        await super().shutdown(sockets)
