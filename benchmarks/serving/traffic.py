"""The requests that the benchmark sends, as bytes, and what counts as a good answer."""

import itertools
import secrets
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from urllib.parse import quote

import msgspec
import numpy as np

from benchmarks.serving.load import Request
from benchmarks.serving.server import READ_PATH

WRITE_PATH = "/v1/events"
READS_A_WRITE = 9
HOST = b"Host: 127.0.0.1\r\n"


class _Item(msgspec.Struct):
    product_id: str


class _Answer(msgspec.Struct):
    items: list[_Item]


_ANSWER = msgspec.json.Decoder(_Answer)


def full_list(limit: int) -> Callable[[int, bytes], bool]:
    """Accepts status 200 with `limit` distinct products."""

    def accepts(status: int, body: bytes) -> bool:
        if status != 200:
            return False
        return len({item.product_id for item in _ANSWER.decode(body).items}) == limit

    return accepts


def exactly(expected: bytes) -> Callable[[int, bytes], bool]:
    """Accepts status 200 with this very body."""
    return lambda status, body: status == 200 and body == expected


def taken_in(status: int, body: bytes) -> bool:
    """Accepts any 2xx."""
    return 200 <= status < 300


def reads(
    members: Sequence[str],
    *,
    path: str = READ_PATH,
    also: str = "",
    limit: int = 20,
    accepts: Callable[[int, bytes], bool],
    rng: np.random.Generator,
) -> Iterator[Request]:
    """Endless GETs of the home placement, each for a member drawn at random from all.

    also: more of the query, such as &region=north.
    """
    query = f"&placement=home&limit={limit}{also}"
    wires = [
        f"GET {path}?member_id={quote(member)}{query} HTTP/1.1\r\n".encode() + HOST + b"\r\n"
        for member in members
    ]
    while True:
        for at in rng.integers(0, len(wires), 4096).tolist():
            yield Request(wires[at], accepts)


def writes(
    members: Sequence[str],
    products: Sequence[str],
    *,
    at: datetime,
    rng: np.random.Generator,
) -> Iterator[Request]:
    """Endless POSTs of one event each, a random member's view of a random product.

    No event_id comes twice, in this run or another: a repeated one would be cheaper.
    """
    run = secrets.token_hex(8)
    for number in itertools.count():
        event = {
            "event_id": f"bench-{run}-{number}",
            "kind": "view",
            "member_id": members[int(rng.integers(len(members)))],
            "product_id": products[int(rng.integers(len(products)))],
            "occurred_at": at.isoformat(),
        }
        body = msgspec.json.encode({"events": [event]})
        head = b"POST " + WRITE_PATH.encode() + b" HTTP/1.1\r\n" + HOST
        head += b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
        yield Request(head + body, taken_in)


def mixed(reading: Iterator[Request], writing: Iterator[Request]) -> Iterator[Request]:
    """One write after every nine reads."""
    while True:
        yield from itertools.islice(reading, READS_A_WRITE)
        yield next(writing)


def prepared(requests: Iterator[Request], count: int) -> Iterator[Request]:
    """The first `count`, made now, so that making them costs nothing under load."""
    return iter(list(itertools.islice(requests, count)))
