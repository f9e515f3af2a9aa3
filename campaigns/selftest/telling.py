"""What the provider tells of messages that it took: before its answer, late, and twice."""

import json
import threading
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from http.client import HTTPConnection, HTTPException

from campaigns.channels.webhook import signed
from campaigns.selftest.world import PROVIDER, World
from recsys.ids import unit_interval

_EARLY = 0.03
_KINDS = {"delivered": 0.04, "failed": 0.01, "bounced": 0.003, "complained": 0.001}
_ACCEPTED = 202
_PAUSE = 0.05
"""seconds between two tries; a provider repeats an event until it is taken"""


class Teller:
    """Posts events to the feedback route until each was taken."""

    def __init__(self, world: World, secret: bytes, now: Callable[[], datetime]) -> None:
        self._world, self._secret, self._now = world, secret, now
        self._queue: deque[tuple[str, str, str]] = deque()

    @property
    def untold(self) -> int:
        """Events that were not taken yet."""
        return len(self._queue)

    def start(self) -> None:
        """From now on, beside the calls."""
        threading.Thread(target=self._run, daemon=True).start()

    def tell_of(self, key: str) -> None:
        """What the seed draws for a message; an early event is taken before this returns."""
        drawn = unit_interval(f"told/{self._world.seed}", key)
        if drawn < _EARLY:
            self._post(f"early-{key}", key, "delivered")
            return
        drawn -= _EARLY
        for kind, share in _KINDS.items():
            if drawn < share:
                self._queue.extend([(f"{kind}-{key}", key, kind)] * 2)
                return
            drawn -= share

    def _run(self) -> None:
        while True:
            if not self._queue or not self._post(*self._queue[0]):
                time.sleep(_PAUSE)
            else:
                self._queue.popleft()

    def _post(self, event: str, key: str, kind: str) -> bool:
        now = self._now()
        said = {"type": f"message.{kind}", "timestamp": now.isoformat(), "data": {"send_id": key}}
        body = json.dumps(said).encode()
        headers = signed(event, body, [self._secret], now)
        line = HTTPConnection("127.0.0.1", self._world.receiver_port, timeout=10)
        try:
            line.request("POST", f"/v1/feedback/{PROVIDER}", body, headers)
            return line.getresponse().status == _ACCEPTED
        except (OSError, HTTPException):
            return False
        finally:
            line.close()
