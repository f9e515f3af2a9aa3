"""A call's end in time, however slowly the other side drips."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Timer
from typing import Protocol


class Line(Protocol):
    """An open connection of a client; TLS exchanges its socket."""

    @property
    def sock(self) -> socket.socket | None:
        """None once it is closed."""


@contextmanager
def ending(line: Line, seconds: float) -> Iterator[None]:
    """Cuts the line after so many seconds: time-outs of a socket begin anew with each byte."""
    timer = Timer(max(seconds, 0.0), _cut, [line])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _cut(line: Line) -> None:
    if line.sock is not None:
        with suppress(OSError):
            # not TLS's own: a reader must find the end, not bytes that it takes for plain text
            socket.socket.shutdown(line.sock, socket.SHUT_RDWR)
