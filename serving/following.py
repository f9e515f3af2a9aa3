"""Tasks that follow something for as long as the service runs."""

import asyncio
from collections.abc import Iterable
from typing import Any

AGAIN_SECONDS = 0.1


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel them until they have ended. Once is not enough: a cancellation that meets a call to
    Redis may come out of it as a failure of the call, which a follower outlives."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=AGAIN_SECONDS)
