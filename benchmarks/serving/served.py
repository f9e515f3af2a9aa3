"""`guesslike serve` as an operator starts it: its port, and its workers."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.request import urlopen

from benchmarks.serving.server import free_port

PATIENCE = 300
"""seconds; every worker reads the whole model first"""


@dataclass(frozen=True, slots=True)
class Served:
    """The running command."""

    port: int
    pid: int

    def workers(self) -> list[int]:
        """The processes that answer: all children but multiprocessing's own tracker."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [
            int(child)
            for child in children
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]

    def get(self, path: str) -> bytes:
        """The body of one answer, on a connection of its own."""
        with urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=30) as answer:
            return bytes(answer.read())


@contextmanager
def served(
    home: Path, *, workers: int, clock: datetime, feed_url: str, log: Path
) -> Iterator[Served]:
    """The command with its log in a file, once so many workers answer."""
    port = free_port()
    environment = os.environ | {
        "GUESSLIKE_HOME": str(home),
        "GUESSLIKE_SERVING__PORT": str(port),
        "GUESSLIKE_SERVING__FEED_URL": feed_url,
    }
    command = [sys.executable, "-m", "guesslike", "serve", "--clock", clock.isoformat()]
    command += ["--workers", str(workers)]
    with (
        log.open("wb") as file,
        subprocess.Popen(command, env=environment, stdout=file, stderr=file) as process,
    ):
        try:
            until = time.monotonic() + PATIENCE
            while log.read_text().count("answering on http") < workers:
                if process.poll() is not None or time.monotonic() > until:
                    raise SystemExit(f"no service with {workers} workers: see {log}")
                time.sleep(0.05)
            yield Served(port, process.pid)
        finally:
            process.terminate()
