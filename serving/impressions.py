"""What was answered, gathered in memory and written to the feed a moment later.

A request encodes nothing. What a crash or a failing feed takes away is lost:
that is counted, and lists go on.
"""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import NamedTuple

from recsys.errors import FeedError
from serving.feed.contract import Event
from serving.feed.impressions import Impression, Notice
from serving.metrics import Metrics
from serving.picks import Pick
from serving.rotation import Rotation, acts
from serving.watched import WatchedFeed

EVERY_SECONDS = 1.0
BATCH = 50
"""answers in one write: it holds the event loop for half a millisecond, and Redis for two"""
WAITING = 10_000
"""answers, and acts, in memory at most: some 10 MB"""


class Answered(NamedTuple):
    """A personal answer."""

    request_id: str
    subject: str
    """as `contract.subject` says it of an event"""
    member_id: str | None
    visitor_id: str | None
    placement: str
    rotation: Rotation | None
    """None: it does not count towards any"""
    product_ids: list[str]
    picks: Sequence[Pick]
    """the same products; what their rows mean may change with the next news"""
    model_version: str
    at: int
    """microseconds since 1970 UTC"""
    variant: str | None


class Impressions:
    """Of one worker."""

    def __init__(self, feed: WatchedFeed, metrics: Metrics) -> None:
        self._feed = feed
        self._metrics = metrics
        self._answers: list[tuple[Impression, Notice | None]] = []
        self._acts: list[Notice] = []
        self._enough = asyncio.Event()

    def answered(self, answer: Answered) -> None:
        """Take up an answer; a full memory drops it."""
        if len(self._answers) >= WAITING:
            self._metrics.impressions("dropped", 1)
            return
        self._answers.append((_impression(answer), _notice(answer)))
        if len(self._answers) >= BATCH:
            self._enough.set()

    def happened(self, events: Sequence[Event]) -> None:
        """Take up what was done with products. What does not fit counts in the feed's own time: a
        product stays moved down for a while."""
        self._acts += acts(events)[: WAITING - len(self._acts)]

    async def follow(self) -> None:
        """Write every second, or once there is a batch."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._enough.wait(), EVERY_SECONDS)
            await self.write()

    async def write(self) -> None:
        """Write what is there now."""
        self._enough.clear()
        done, self._acts = self._acts, []
        while self._answers or done:
            batch = self._answers[:BATCH]
            del self._answers[:BATCH]
            shown = [notice for _, notice in batch if notice is not None]
            try:
                await self._feed.show([impression for impression, _ in batch], [*shown, *done])
            except FeedError:
                self._metrics.impressions("dropped", len(batch))
            else:
                self._metrics.impressions("kept", len(batch))
            done = []


def _impression(one: Answered) -> Impression:
    chances = [pick.chance for pick in one.picks]
    return Impression(
        one.request_id,
        one.member_id,
        one.visitor_id,
        one.placement,
        one.product_ids,
        one.at,
        one.model_version,
        one.variant,
        chances if min(chances, default=1.0) < 1 else None,
    )


def _notice(one: Answered) -> Notice | None:
    """What a member buys again and again is never shown too often."""
    if one.rotation is None:
        return None
    named = zip(one.product_ids, one.picks, strict=True)
    counted = [product_id for product_id, pick in named if pick.reason != "again"]
    return Notice(one.subject, one.at // 60_000_000, counted, one.rotation.row)
