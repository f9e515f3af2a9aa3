"""The feed as requests see it: where it fails, lists go on from the model alone, and say so."""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import suppress
from time import monotonic

from recsys.errors import FeedError
from serving.feed.contract import Appended, Event, Feed, Recent
from serving.feed.impressions import Impression, Notice
from serving.metrics import Metrics, Operation

log = logging.getLogger(__name__)

SLOW_SECONDS = 0.1
"""A failure that took longer holds up lists."""
PAUSE_SECONDS = 1.0
"""After a slow failure the feed is left alone for so long."""


class WatchedFeed:
    """A feed, and whether it answered when it was last asked.

    A feed that refuses at once is asked by every request. One that hangs is asked by one request
    at a time and at most once in PAUSE_SECONDS: else every list would wait for its timeout.
    """

    def __init__(self, feed: Feed, metrics: Metrics) -> None:
        self.feed = feed
        self.failures = 0
        """calls that failed since it last answered"""
        self._erased: Mapping[str, tuple[int, int]] = {}
        self._metrics = metrics
        self._ask_again = 0.0
        self._hangs = False
        self._asking = False

    @property
    def answers(self) -> bool:
        """Whether it answered when it was last asked."""
        return self.failures == 0

    async def recent(
        self,
        subject: str,
        *,
        after: Mapping[int, int],
        limit: int,
        about: Mapping[str, str],
        shown: bool = False,
    ) -> Recent:
        """See Feed; nothing where it fails. A log line carries `about`."""
        if self._hangs and (self._asking or monotonic() < self._ask_again):
            return self._alone(subject, after)
        begun = monotonic()
        self._asking = True
        try:
            found = await self.feed.recent(subject, after=after, limit=limit, shown=shown)
        except FeedError as error:
            self._failed("recent", error, about=about, begun=begun)
            return self._alone(subject, after)
        finally:
            self._asking = False
        if self.failures:
            self._mended()
        return found

    async def append(self, events: Sequence[Event], *, now: int) -> Appended:
        """See Feed; FeedError goes on to the sender, who sends again."""
        begun = monotonic()
        try:
            stored = await self.feed.append(events, now=now)
        except FeedError as error:
            self._failed("append", error, about={}, begun=begun)
            raise
        if self.failures:
            self._mended()
        self._metrics.sent(stored.new, stored.duplicates)
        return stored

    async def show(self, impressions: Sequence[Impression], notices: Sequence[Notice]) -> None:
        """See Feed; FeedError is counted. Whether lists may wait for the feed is none of its
        business: it waits on its own."""
        try:
            await self.feed.show(impressions, notices)
        except FeedError:
            self._metrics.feed_failed("show")
            raise

    async def hear(self) -> None:
        """Learn who was erased, to hide them also while the feed fails; FeedError where it does."""
        self._erased = await self.feed.erased()

    async def go_on_hearing(self, every_seconds: float) -> None:
        """What was heard before a failure holds."""
        while True:
            await asyncio.sleep(every_seconds)
            with suppress(FeedError):  # requests find out, too, and say so
                await self.hear()

    def _alone(self, subject: str, after: Mapping[int, int]) -> Recent:
        shard, number = self._erased.get(subject.removeprefix("m:"), (0, 0))
        return Recent([], hidden=subject.startswith("m:") and number > after.get(shard, 0))

    def _failed(
        self, operation: Operation, error: FeedError, *, about: Mapping[str, str], begun: float
    ) -> None:
        now = monotonic()
        self._hangs = now - begun > SLOW_SECONDS
        self._ask_again = now + PAUSE_SECONDS
        self._metrics.feed_failed(operation)
        self.failures += 1
        if self.failures == 1:  # the next ones are counted: a line for each would bury the rest
            log.warning("the feed failed, answering from the model alone: %s", error, extra=about)

    def _mended(self) -> None:
        log.info("the feed answers again, after %d failed calls", self.failures)
        self.failures = 0
        self._hangs = False
