"""A provider that takes messages over HTTP and fails in every way that providers do.

Which way is drawn by the seed and the message's key, so that a seed always fails alike. What it
takes it writes down, flushed to the disk, before it answers. `python -m` it with a listening
socket's number and the scratch folder.
"""

import json
import os
import select
import socket
import socketserver
import struct
import sys
import threading
from collections import Counter
from enum import StrEnum
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from campaigns.channels.webhook import signed
from campaigns.instants import from_micros, to_micros
from campaigns.selftest.clock import SharedClock
from campaigns.selftest.parent import end_with_parent
from campaigns.selftest.telling import Teller
from campaigns.selftest.world import CLOCK, World, read_world, secret_of
from recsys.ids import unit_interval

TAKEN = "taken.jsonl"
"""one line for each message that it took: key, to, channel, at (microseconds)"""
_LONGEST_SILENCE = 5.0
"""seconds; a caller has left long before"""


class Fault(StrEnum):
    """What goes wrong with a call."""

    LOST_ANSWER = "taken, and never answered"
    ERROR_AFTER = "taken, and answered 500"
    RESET_AFTER = "taken, and the line cut"
    SILENCE = "not taken, and never answered"
    ERROR_BEFORE = "not taken, and answered 502"
    RESET_BEFORE = "not taken, and the line cut"
    BUSY = "not taken, and asked to wait"
    GONE = "not taken, for there is no such address"


_SHARES = {
    Fault.LOST_ANSWER: 0.01,
    Fault.ERROR_AFTER: 0.04,
    Fault.RESET_AFTER: 0.03,
    Fault.SILENCE: 0.01,
    Fault.ERROR_BEFORE: 0.04,
    Fault.RESET_BEFORE: 0.03,
    Fault.BUSY: 0.004,
    Fault.GONE: 0.005,
}
_AFTER = frozenset({Fault.LOST_ANSWER, Fault.ERROR_AFTER, Fault.RESET_AFTER})


def fault_of(seed: int, key: str, attempt: int) -> Fault | None:
    """What goes wrong with the attempt-th call of a key, from 1."""
    drawn = unit_interval(f"fault/{seed}", f"{key}/{attempt}")
    for fault, share in _SHARES.items():
        if drawn < share:
            return fault
        drawn -= share
    return None


class ProviderServer(socketserver.ThreadingMixIn, socketserver.TCPServer):
    """Counts its calls, and what it took."""

    daemon_threads = True

    def __init__(self, listening: socket.socket, folder: Path, world: World) -> None:
        super().__init__(listening.getsockname(), _Call, bind_and_activate=False)
        self.socket.close()
        self.socket = listening
        self.world, self.now = world, SharedClock(folder / CLOCK)
        self.secret = secret_of(folder)
        self.teller = Teller(world, self.secret, self.now)
        self.faults: Counter[str] = Counter()
        self._log = os.open(folder / TAKEN, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600)
        self._lock = threading.Lock()
        self._attempts: Counter[str] = Counter()
        self._taken: Counter[str] = Counter()
        self._lines = 0

    def process_request(self, request: Any, client_address: Any) -> None:
        """Counts open lines; here, so that one that waits in the queue is not passed over."""
        with self._lock:
            self._lines += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """The line's end."""
        with self._lock:
            self._lines -= 1
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers are killed here; a line that broke is no news."""

    def attempt(self, key: str) -> int:
        """Which call of this key it is, from 1."""
        with self._lock:
            self._attempts[key] += 1
            return self._attempts[key]

    def take(self, message: dict[str, str]) -> None:
        """Writes a message down; the same key again is no second one where that is promised."""
        key = message["send_id"]
        line = {"key": key, "to": message["to"], "channel": message["channel"]}
        with self._lock:
            self._taken[key] += 1
            if self.world.idempotent and self._taken[key] > 1:
                return
            line["at"] = to_micros(self.now())  # type: ignore[assignment]
            os.write(self._log, (json.dumps(line) + "\n").encode())
            os.fsync(self._log)

    def state(self) -> dict[str, Any]:
        """How it stands, the line of who asks left out."""
        with self._lock:
            return {
                "lines": self._lines - 1,
                "untold": self.teller.untold,
                "calls": self._attempts.total(),
                "taken": self._taken.total(),
                "faults": dict(self.faults),
            }


class _Call(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: ProviderServer

    def do_GET(self) -> None:
        """How the provider stands."""
        self.close_connection = True
        self._answer(200, json.dumps(self.server.state()).encode())

    def do_POST(self) -> None:
        """One message."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._is_signed(body):
            self._answer(401, b"")
            return
        message = json.loads(body)["data"]
        key = message["send_id"]
        fault = fault_of(self.server.world.seed, key, self.server.attempt(key))
        if fault is not None:
            self.server.faults[fault] += 1
        if fault is None or fault in _AFTER:
            self.server.take(message)
            self.server.teller.tell_of(key)
        self._end(fault)

    def _is_signed(self, body: bytes) -> bool:
        key, at = self.headers["Idempotency-Key"], int(self.headers["webhook-timestamp"])
        ours = signed(key, body, [self.server.secret], from_micros(at * 1_000_000))
        return ours["webhook-signature"] == self.headers["webhook-signature"]

    def _end(self, fault: Fault | None) -> None:
        match fault:
            case None:
                self._answer(202, b"")
            case Fault.ERROR_AFTER:
                self._answer(500, b"")
            case Fault.ERROR_BEFORE:
                self._answer(502, b"")
            case Fault.BUSY:
                self._answer(429, b"", {"Retry-After": "20"})
            case Fault.GONE:
                self._answer(410, b"")
            case Fault.LOST_ANSWER | Fault.SILENCE:
                self.close_connection = True
                select.select([self.connection], [], [], _LONGEST_SILENCE)
            case Fault.RESET_AFTER | Fault.RESET_BEFORE:
                self.close_connection = True
                at_once = struct.pack("ii", 1, 0)
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
                self.connection.close()

    def _answer(self, status: int, said: bytes, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (more or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_: object) -> None:
        """Quiet."""


def main(number: int, folder: Path) -> None:
    """Takes messages until it is ended."""
    with ProviderServer(socket.socket(fileno=number), folder, read_world(folder)) as server:
        server.teller.start()
        server.serve_forever(poll_interval=0.05)


if __name__ == "__main__":
    end_with_parent()
    main(int(sys.argv[1]), Path(sys.argv[2]))
