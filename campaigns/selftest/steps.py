"""Numbers the steps of a process, and kills it at one of them.

A step is a file flushed, a file renamed, a database commit, a call handed over, an answer read.
"""

import os
import signal
from collections.abc import Callable
from http.client import HTTPConnection
from itertools import count
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

_STEPS: tuple[tuple[Any, str], ...] = (
    (os, "fsync"),
    (os, "replace"),  # pathlib renames through it, too
    (DefaultDialect, "do_commit"),
    (HTTPConnection, "request"),
    (HTTPConnection, "getresponse"),
)


class Steps:
    """Those of this process, from `install` on."""

    def __init__(self, last: int | None, *, after: bool) -> None:
        """last: the step at which it is killed, from 1: before it, or after it."""
        self._last, self._after = last, after
        self._numbers = count(1)  # threads may draw from it at once
        self.taken = 0

    def install(self) -> None:
        """For good: a process of its own is wanted."""
        for place, name in _STEPS:
            setattr(place, name, self._counted(getattr(place, name)))

    def _counted(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **named: Any) -> Any:
            mine = self.taken = next(self._numbers)
            if mine == self._last and not self._after:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return real(*args, **named)
            finally:
                if mine == self._last:
                    os.kill(os.getpid(), signal.SIGKILL)

        return run
