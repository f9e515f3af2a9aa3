"""A real redis-server for tests: its own folder and port, every write flushed."""

import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest
import redis


class RedisServer:
    """Started, killed without warning, and started again on the same files."""

    def __init__(self, folder: Path) -> None:
        self._binary = _binary()
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        command = [self._binary, "--port", str(self.port), "--bind", "127.0.0.1"]
        command += ["--dir", str(self._folder), "--save", ""]
        command += ["--appendonly", "yes", "--appendfsync", "always"]
        self._process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        with self.client() as client:
            while True:
                try:
                    client.ping()
                    return
                except redis.ConnectionError:
                    assert time.monotonic() < deadline, f"no redis-server on port {self.port}"
                    time.sleep(0.02)

    def kill(self) -> None:
        """kill -9: nothing is flushed on the way out."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, decode_responses=True)


def _binary() -> str:
    if found := shutil.which("redis-server"):
        return found
    pytest.skip("redis-server is not installed: `apt install redis-server` makes these tests run")
