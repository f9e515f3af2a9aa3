"""A load generator: keep-alive connections, requests prepared as bytes, every answer checked.

Made to cost little, since it must outrun the server from one core: a raw protocol on uvloop,
a parser for exactly what HTTP/1.1 servers answer with a Content-Length, and nothing else.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter, process_time
from typing import cast

import numpy as np
import uvloop
from numpy.typing import NDArray

NO_CONTENT = 204
GRACE_SECONDS = 10.0
"""how long answers that are under way at the end are waited for"""


@dataclass(frozen=True, slots=True)
class Request:
    """One request, and what makes its answer a good one."""

    wire: bytes
    accepts: Callable[[int, bytes], bool]
    """of status and body"""


@dataclass(frozen=True, slots=True)
class Round:
    """What one stretch of load saw."""

    seconds: float
    latencies: NDArray[np.float64]
    """shape (answers,), seconds: from the moment a request was due to the end of its answer"""
    refused: int
    """answers that their request does not accept"""
    example: str
    """the first refused answer"""
    unanswered: int
    busy: float
    """share of its core that the generator used; near 1 it, not the server, is the limit"""

    @property
    def per_second(self) -> float:
        """Good answers a second."""
        return (len(self.latencies) - self.refused) / self.seconds

    def quantile(self, share: float) -> float:
        """A latency in seconds; NaN when nothing was answered."""
        return float(np.quantile(self.latencies, share)) if len(self.latencies) else float("nan")


def full_speed(
    port: int, requests: Iterator[Request], *, seconds: float, connections: int = 16
) -> Round:
    """Closed loop: each connection asks again as soon as it is answered. Loopback only. It ends
    early where the requests do."""
    return uvloop.run(_drive(port, requests, seconds, connections, rate=None))


def fixed_rate(
    port: int, requests: Iterator[Request], *, rate: float, seconds: float, connections: int = 16
) -> Round:
    """Open loop: request i is due at i / rate, whether or not the server keeps up.

    A latency starts when its request was due, not when a connection came free: the time that
    requests wait behind a slow one counts (no coordinated omission).
    """
    return uvloop.run(_drive(port, requests, seconds, connections, rate=rate))


@dataclass(slots=True)
class _Tally:
    """What the connections of one round share."""

    requests: Iterator[Request]
    closed_loop: bool
    ends: float = 0.0
    last: float = 0.0
    """when the latest answer was whole"""
    idle: deque["_Connection"] = field(default_factory=deque)
    waiting: deque[tuple[float, Request]] = field(default_factory=deque)
    latencies: list[float] = field(default_factory=list)
    under_way: int = 0
    lost: int = 0
    refused: int = 0
    example: str = ""

    def next(self, now: float) -> tuple[float, Request] | None:
        """What a connection that came free at `now` asks next, and when that was due."""
        if self.waiting:
            return self.waiting.popleft()
        if self.closed_loop and now < self.ends:
            request = next(self.requests, None)
            if request:
                return now, request
            self.ends = now
        return None


class _Connection(asyncio.Protocol):
    """One keep-alive connection: one request at a time, its answer put together and judged."""

    def __init__(self, tally: _Tally) -> None:
        self.tally = tally
        self.buffer = b""
        self.asked: tuple[float, Request] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.tally.idle.append(self)

    def ask(self, due: float, request: Request) -> None:
        self.asked = (due, request)
        self.tally.under_way += 1
        self.transport.write(request.wire)

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        answer = parse(self.buffer)
        if answer is None or self.asked is None:
            return
        now, tally, (due, request) = perf_counter(), self.tally, self.asked
        self.buffer, self.asked = b"", None
        tally.last = now
        tally.under_way -= 1
        tally.latencies.append(now - due)
        if not request.accepts(*answer):
            tally.refused += 1
            tally.example = tally.example or f"{answer[0]} {answer[1][:500]!r}"
        if following := tally.next(now):
            self.ask(*following)
        else:
            tally.idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self.asked:
            self.tally.under_way -= 1
            self.tally.lost += 1
        elif self in self.tally.idle:
            self.tally.idle.remove(self)


def parse(buffer: bytes) -> tuple[int, bytes] | None:
    """Status and body of one whole HTTP/1.1 answer; None while a part of it is missing."""
    head = buffer.find(b"\r\n\r\n")
    if head < 0:
        return None
    status = int(buffer[9:12])
    if status == NO_CONTENT:
        return status, b""
    at = buffer[:head].lower().find(b"\r\ncontent-length:")
    if at < 0:
        message = f"the answer has no Content-Length, which this generator needs: {buffer[:200]!r}"
        raise ValueError(message)
    stop = buffer.find(b"\r", at + 2)
    length = int(buffer[at + 17 : stop])
    body = buffer[head + 4 :]
    return (status, body) if len(body) >= length else None


async def _drive(
    port: int, requests: Iterator[Request], seconds: float, connections: int, *, rate: float | None
) -> Round:
    loop = asyncio.get_running_loop()
    tally = _Tally(requests, closed_loop=rate is None)
    opened = [
        await loop.create_connection(lambda: _Connection(tally), "127.0.0.1", port)
        for _ in range(connections)
    ]
    started, used = perf_counter(), process_time()
    tally.ends = started + seconds
    if rate is None:
        for connection in list(tally.idle):
            if following := tally.next(perf_counter()):
                tally.idle.remove(connection)
                connection.ask(*following)
        while perf_counter() < tally.ends:
            await asyncio.sleep(min(0.01, seconds))
    else:
        await _keep_to_schedule(tally, started, seconds, rate)
    while (tally.under_way or tally.waiting) and perf_counter() < tally.ends + GRACE_SECONDS:
        await asyncio.sleep(0.001)
    busy = (process_time() - used) / (perf_counter() - started)
    unanswered = tally.under_way + len(tally.waiting) + tally.lost
    took = tally.last - started if rate is None and tally.latencies else seconds
    for transport, _ in opened:
        transport.abort()
    latencies = np.array(tally.latencies)
    return Round(took, latencies, tally.refused, tally.example, unanswered, busy)


async def _keep_to_schedule(tally: _Tally, started: float, seconds: float, rate: float) -> None:
    """Hands out each request when it is due. Spins: a timer is only good to a millisecond."""
    for i in range(int(seconds * rate)):
        due = started + i / rate
        while perf_counter() < due:
            await asyncio.sleep(0)
        request = next(tally.requests, None)
        if request is None:
            raise ValueError(f"only {i} requests were prepared for {int(seconds * rate)}")
        if tally.idle:
            tally.idle.popleft().ask(due, request)
        else:
            tally.waiting.append((due, request))
        if i % 64 == 0:
            await asyncio.sleep(0)  # one that is late still takes answers in
