"""A body over the limit is refused with 413, announced or not, and nothing of it counts."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from serving.body_limit import BodyLimit
from serving.schemas import Problem
from tests.serving.live import EVENTS, event, items, send, service, under_uvicorn

pytestmark = pytest.mark.anyio
MOST = 2000


@pytest.fixture
async def client(small_model: Path, tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    of = service(small_model, str(tmp_path / "feed.db"), max_body_bytes=MOST)
    async with under_uvicorn(of) as client:
        yield client


def body_of(size: int) -> bytes:
    """One good event, padded to a size."""
    one = httpx.Request("POST", "/", json={"events": [event("view", "p10")]}).content
    return one + b" " * (size - len(one))


async def in_pieces(body: bytes, size: int = 100) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("size", "status"), [(MOST, 200), (MOST + 1, 413), (MOST * 2, 413), (10 * MOST, 413)]
)
async def test_the_limit_is_exact(
    client: httpx.AsyncClient, size: int, status: int, chunked: bool
) -> None:
    body = body_of(size)
    content = in_pieces(body) if chunked else body
    headers = {"content-type": "application/json"}
    answer = await client.post(EVENTS, content=content, headers=headers)
    assert answer.status_code == status
    if status == 413:
        problem = Problem.model_validate_json(answer.content, strict=True)
        assert str(MOST) in problem.detail
        # of the refused body nothing was stored, and the service goes on
        assert await send(client, event("view", "p10")) == {"accepted": 1, "duplicates": 0}
        assert len(await items(client, limit=5)) == 5


async def test_a_body_without_end_is_cut_off(client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < 50_000_000:
            sent += 65_536
            yield b" " * 65_536

    # the answer may be lost: the connection is closed under a client that still sends
    with contextlib.suppress(httpx.TransportError):
        answer = await client.post(EVENTS, content=endless())
        assert answer.status_code == 413
    assert sent < 20_000_000
    assert len(await items(client, limit=5)) == 5


async def test_a_body_that_breaks_off_never_reaches_the_app() -> None:
    messages = iter(
        [
            {"type": "http.request", "body": b"{", "more_body": True},
            {"type": "http.disconnect"},
        ]
    )
    reached = []

    async def app(scope: object, receive: object, send: object) -> None:
        reached.append(scope)

    async def receive() -> dict[str, object]:
        return next(messages)

    async def nothing(message: object) -> None:
        reached.append(message)

    await BodyLimit(app, most=10)({"type": "http", "method": "POST"}, receive, nothing)  # type: ignore[arg-type]
    assert reached == []
