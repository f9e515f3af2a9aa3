"""`guesslike serve` as an operator starts it: a process of its own, on a free port."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.serving.live import NOW

ROOT = Path(__file__).parents[2]
PATIENCE = 90
"""seconds; a worker imports and compiles for a few of them"""


@dataclass(frozen=True)
class Served:
    """The running command."""

    process: subprocess.Popen[bytes]
    port: int
    output: Path

    @property
    def log(self) -> str:
        """All that it has logged."""
        return self.output.read_text()

    def get(self, path: str, **params: object) -> httpx.Response:
        """On a connection of its own, so that any worker may answer."""
        return httpx.get(f"http://127.0.0.1:{self.port}{path}", params=params, timeout=20)  # type: ignore[arg-type]

    def post(self, path: str, body: object) -> httpx.Response:
        """Likewise."""
        return httpx.post(f"http://127.0.0.1:{self.port}{path}", json=body, timeout=20)

    def answers(self) -> bool:
        """Whether anybody listens and is ready."""
        try:
            # a connection alone costs little, beside a process that is starting
            socket.create_connection(("127.0.0.1", self.port)).close()
            return self.get("/readyz").status_code == 200
        except (OSError, httpx.TransportError):
            return False

    def workers(self) -> list[int]:
        """Process ids of its workers."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in children if b"spawn_main" in command_line(int(child))]

    def terminated(self) -> int:
        """The exit code after SIGTERM."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(PATIENCE)


def command_line(pid: int) -> bytes:
    """Empty where there is no such process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def eventually(true: Callable[[], bool], *, told: Callable[[], str] = str) -> None:
    """Wait for it, patiently: these machines are shared."""
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, told()
        time.sleep(0.05)


@contextmanager
def served(
    models: Path, home: Path, *words: str, ready: bool = True, **settings: object
) -> Iterator[Served]:
    """The command over a home's models, with its feed in `home`. `settings` are serving's."""
    home.mkdir(exist_ok=True)
    (home / "models").symlink_to(models / "models")
    running = started(home, free_port(), *words, **settings)
    with running.process:
        try:
            if ready:
                wait_until_ready(running)
            yield running
        finally:
            running.process.terminate()


def free_port() -> int:
    """One that nobody listens on just now."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def started(home: Path, port: int, *words: str, **settings: object) -> Served:
    """The command over a home that has models; its output goes on where an earlier one ended."""
    chosen = {"port": port, **settings}
    output = home / "output"
    with output.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "guesslike", "serve", "--clock", NOW.isoformat(), *words],
            cwd=ROOT, env=environment(home, **chosen), stdout=log, stderr=subprocess.STDOUT,
        )  # fmt: skip
    return Served(process, port, output)


def environment(home: Path, **settings: object) -> dict[str, str]:
    """Of a command over this home: these settings of serving's and no others."""
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not re.search("_NUM_THREADS$|^GUESSLIKE_|^PROMETHEUS_", name)
    }
    set_here = {f"GUESSLIKE_SERVING__{name.upper()}": str(v) for name, v in settings.items()}
    return inherited | {"GUESSLIKE_HOME": str(home)} | set_here


def wait_until_ready(running: Served) -> None:
    """Until it answers; AssertionError with its log if it ends instead."""
    eventually(
        lambda: running.process.poll() is not None or running.answers(), told=lambda: running.log
    )
    assert running.process.poll() is None, running.log
