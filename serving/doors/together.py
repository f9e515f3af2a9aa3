"""Limits over several workers: each second they tell each other what their callers took."""

import asyncio
import logging
from typing import Protocol

import msgspec

from recsys.errors import FeedError
from serving.doors.door import Doors

log = logging.getLogger(__name__)

EVERY_SECONDS = 1.0

_decode = msgspec.msgpack.Decoder(list[dict[int, int]]).decode


class Exchange(Protocol):
    """Where workers leave batches for each other: a feed."""

    async def exchange(self, batch: bytes | None, *, after: int | None) -> tuple[int, list[bytes]]:
        """See Feed."""


async def follow(doors: Doors, feed: Exchange, every_seconds: float = EVERY_SECONDS) -> None:
    """Go on telling and hearing. While the feed fails, each worker's own limits hold.

    What could not be told is dropped: told later, all of it would count at once.
    """
    after: int | None = None
    since, failing = doors.tick(), False
    while True:
        await asyncio.sleep(every_seconds)
        told = [limit.told() for limit in doors.limits]
        batch = msgspec.msgpack.encode(told) if any(told) else None
        try:
            after, batches = await feed.exchange(batch, after=after)
        except FeedError as error:
            if not failing:
                log.warning("limits hold for each worker alone now: %s", error)
            failing = True
            continue
        now, failing = doors.tick(), False
        for heard in batches:
            for limit, taken in zip(doors.limits, _decode(heard), strict=True):
                limit.hear(taken, since=since, now=now)
        since = now
