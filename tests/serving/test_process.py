"""One real process: when it opens its port, how it stops, and that it loses nothing on the way."""

import gc
import json
import signal
import socket
import sqlite3
import time
from pathlib import Path

import httpx
import pytest

from recsys.model import Model
from serving import process
from serving.app import create_app
from serving.shop import mount
from tests.command import Command
from tests.serving.live import EVENTS, RECOMMENDATIONS, Clock, event, service
from tests.serving.served import PATIENCE, Served, served

pytestmark = pytest.mark.slow


class Halfway:
    """A request whose body is sent in two parts: in flight as long as a test likes."""

    def __init__(self, running: Served) -> None:
        self.event = event("view", "p10")
        body = json.dumps({"events": [self.event]}).encode()
        head = f"POST {EVENTS} HTTP/1.1\r\nhost: shop\r\ncontent-type: application/json\r\n"
        self._rest = body[20:]
        self._socket = socket.create_connection(("127.0.0.1", running.port))
        self._socket.settimeout(PATIENCE)
        self._socket.sendall(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body[:20])
        time.sleep(0.3)  # taken up by the server

    def ended(self) -> bytes:
        """Send the rest; the answer."""
        self._socket.sendall(self._rest)
        return self.answer()

    def answer(self) -> bytes:
        """All that comes until the server closes."""
        answer = b""
        with self._socket:
            while piece := self._socket.recv(65536):
                answer += piece
        return answer


def stored(home: Path) -> list[str]:
    with sqlite3.connect(home / "feed.db") as feed:
        found = [row[0] for row in feed.execute("SELECT event_id FROM event")]
    feed.close()
    return found


def closed(running: Served) -> bool:
    try:
        socket.create_connection(("127.0.0.1", running.port)).close()
    except ConnectionRefusedError:
        return True
    return False


def wait_until_closed(running: Served) -> None:
    deadline = time.monotonic() + 20
    while not closed(running):
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_is_in_flight_is_finished_and_kept(
    small_model: Path, tmp_path: Path, workers: int, number: signal.Signals
) -> None:
    home = tmp_path / "home"
    with served(small_model, home, workers=workers, stop_seconds=60) as running:
        in_flight = Halfway(running)
        running.process.send_signal(number)
        try:
            wait_until_closed(running)
            assert running.process.poll() is None
        finally:
            answer = in_flight.ended()
        assert answer.startswith(b"HTTP/1.1 200")
        assert answer.endswith(b'{"accepted":1,"duplicates":0}')
        assert running.process.wait(PATIENCE) == 0, running.log
        assert "Traceback" not in running.log
    assert stored(home) == [in_flight.event["event_id"]]
    assert not (home / "feed.db-wal").exists(), "the feed was closed, not dropped"


def test_what_never_ends_is_cut_off(small_model: Path, tmp_path: Path) -> None:
    with served(small_model, tmp_path / "home", stop_seconds=1) as running:
        in_flight = Halfway(running)
        begun = time.monotonic()
        assert running.terminated() == 0, running.log
        assert 1 <= time.monotonic() - begun < 15
        assert not in_flight.answer().startswith(b"HTTP/1.1 200")
        assert "timeout graceful shutdown exceeded" in running.log


def test_it_gives_notice_before_it_closes(small_model: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    with served(small_model, home, stop_notice_seconds=4, log_format="text") as running:
        running.process.terminate()
        deadline = time.monotonic() + 3
        while (ready := running.get("/readyz")).status_code == 200:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert ready.status_code == 503
        assert ready.json() == {"ready": False, "reason": "stopping"}
        assert running.get("/livez").status_code == 200
        assert running.get(RECOMMENDATIONS).status_code == 200
        assert running.process.wait(PATIENCE) == 0
        assert "INFO serving.process stopping" in running.log


def test_each_line_of_its_log_is_an_object(small_model: Path, tmp_path: Path) -> None:
    with served(small_model, tmp_path / "home") as running:
        running.terminated()
        lines = [json.loads(line) for line in running.log.splitlines()]
    assert {"time", "level", "logger", "message"} <= set.intersection(*map(set, lines))
    said = [line["message"] for line in lines]
    assert f"answering on http://127.0.0.1:{running.port}" in said


def test_a_port_that_is_taken_is_told_in_one_message(
    small_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "models").symlink_to(small_model / "models")
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        monkeypatch.setattr("serving.logs.configure", lambda _: None)
        command = Command(monkeypatch, capsys, home)
        said = command.refused("serve", GUESSLIKE_SERVING__PORT=port)
    assert f"cannot listen on 127.0.0.1 port {port}: Address already in use" in said
    assert "GUESSLIKE_SERVING__PORT" in said


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.mark.anyio
async def test_it_is_ready_from_the_first_list_to_the_order_to_stop(
    small_model: Path, tmp_path: Path
) -> None:
    app = create_app(service(small_model, str(tmp_path / "feed.db")))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        before = await client.get("/readyz")
        assert before.status_code == 503
        assert before.json()["ready"] is False
        assert before.json()["reason"].startswith("starting")
        assert (await client.get("/livez")).status_code == 200
        async with app.router.lifespan_context(app):
            assert (await client.get("/readyz")).status_code == 200
        after = await client.get("/readyz")
    assert (after.status_code, after.json()["reason"]) == (503, process.STOPPING)


@pytest.mark.anyio
async def test_it_lets_go_of_its_models_when_it_stops(small_model: Path, tmp_path: Path) -> None:
    """Each keeps some 50 files mapped, and the framework remembers routes that were asked."""
    before = _open_models()
    app = create_app(service(small_model, str(tmp_path / "feed.db")))
    mount(app, now=Clock(), shoppers=[], currency="EUR")
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        async with app.router.lifespan_context(app):
            for path in (RECOMMENDATIONS, "/shop/members", "/shop/products?ids=p1"):
                assert (await client.get(path)).status_code == 200
            assert _open_models() > before
        assert _open_models() <= before


def _open_models() -> int:
    gc.collect()
    return sum(isinstance(one, Model) for one in gc.get_objects())
