"""One simulated clock for several processes: it ticks, and is moved on from outside."""

import mmap
import struct
import time
from datetime import datetime, timedelta
from pathlib import Path

from campaigns.instants import from_micros, to_micros

_NUMBER = struct.Struct("=q")


class SharedClock:
    """Reads the instant at which the machine's monotonic clock began from a mapped file."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), _NUMBER.size)

    def __call__(self) -> datetime:
        """The instant now, the same in every process of this machine."""
        (begin,) = _NUMBER.unpack_from(self._map)
        return from_micros(begin + _ticks())

    def move_on(self, by: timedelta) -> None:
        """Later, for everyone at once."""
        (begin,) = _NUMBER.unpack_from(self._map)
        _NUMBER.pack_into(self._map, 0, begin + by // timedelta(microseconds=1))


def make_clock(path: Path, at: datetime) -> SharedClock:
    """A clock that shows `at`, in a new file."""
    path.write_bytes(_NUMBER.pack(to_micros(at) - _ticks()))
    return SharedClock(path)


def _ticks() -> int:
    """Microseconds; of all processes alike."""
    return time.monotonic_ns() // 1000
