"""Waits for a ledger that others hold."""

from collections.abc import Callable
from typing import TypeVar

from recsys.errors import StaleInstantError

_Answer = TypeVar("_Answer")
_LONG_WAITS = 5
"""in a row, of more than 2 s"""


def patiently(ask: Callable[[], _Answer]) -> _Answer:
    """Asks again, by the clock of then, what waited so long that the instant it named is past."""
    for _ in range(_LONG_WAITS):
        try:
            return ask()
        except StaleInstantError:
            continue  # or else the clock is wrong: then the last one says so
    return ask()
