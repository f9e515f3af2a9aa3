"""The feed under test: the file in the shop's folder, or a Redis of its own beside the load."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import redis

from benchmarks.serving.server import free_port

Kind = Literal["file", "redis"]
PATIENCE = 120
"""seconds; what was written before is read first"""


@contextmanager
def feed(kind: Kind, home: Path, *, core: int) -> Iterator[str]:
    """Its address while it runs. What it holds stays in `home`."""
    if kind == "file":
        yield str(home / "feed.db")
        return
    binary = shutil.which("redis-server")
    if binary is None:
        raise SystemExit("redis-server is not installed: apt install redis-server")
    folder = home / "redis"
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    command = ["taskset", "--cpu-list", str(core), binary, "--bind", "127.0.0.1"]
    command += ["--port", str(port), "--dir", str(folder.resolve()), "--save", ""]
    command += ["--appendonly", "yes", "--appendfsync", "always"]  # what the feed asks for
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            _answers(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            server.terminate()


def _answers(port: int) -> None:
    until = time.monotonic() + PATIENCE
    with redis.Redis(port=port) as client:
        while True:
            try:
                client.ping()
                return
            except (redis.ConnectionError, redis.BusyLoadingError):
                if time.monotonic() > until:
                    raise SystemExit(f"Redis does not answer on port {port}") from None
                time.sleep(0.05)
