"""Ends a process with the one that started it."""

import os
import sys
import threading


def end_with_parent() -> None:
    """When stdin ends: so does whoever holds its other side, even when it is killed."""
    threading.Thread(target=_wait, daemon=True).start()


def _wait() -> None:
    sys.stdin.read()
    os._exit(0)
