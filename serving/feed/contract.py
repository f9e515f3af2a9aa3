"""The feed: what members are doing now, numbered, durable and told apart by event id.

Every accepted event gets the next sequence number of its shard: dense, from 1. A model
records the last number it contains, so serving is that model plus the events after it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from recsys.ids import stable_hash
from serving.feed.impressions import Impression, Notice, Shown
from serving.feed.news import ProductChange, ProductNews

KEPT_RECENT = 64
"""`recent` reaches this far back for a subject. The log keeps every event until it is trimmed."""

IDENTIFY, ERASE = "identify", "erase"
"""Kinds of the log's entries that are no events: what `identify` and `erase` said."""

REMEMBERED_US = 7 * 86_400 * 1_000_000
"""A trimmed event's id is still known for this long after the event was accepted."""


@dataclass(frozen=True, slots=True)
class Event:
    """One row of the `events` table."""

    event_id: str
    kind: str
    occurred_at: int
    """microseconds since 1970 UTC"""
    product_id: str | None = None
    member_id: str | None = None
    visitor_id: str | None = None
    order_id: str | None = None
    quantity: float | None = None
    amount: float | None = None
    query: str | None = None
    session_id: str | None = None
    placement: str | None = None
    request_id: str | None = None


class RecentEvent(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What ranking needs of an event. Decoded from the head of a body: see `body.py`."""

    kind: str
    occurred_at: int
    """microseconds since 1970 UTC"""
    product_id: str | None
    order_id: str | None
    quantity: float | None
    amount: float | None
    query: str | None
    session_id: str | None


@dataclass(frozen=True, slots=True)
class Recent:
    """What one trip to the feed brings for a subject: a record, so that it can bring more."""

    events: list[RecentEvent]
    """in sequence order, newest last; with those of visitors among them, by occurred_at"""
    hidden: bool = False
    """the member was erased after what `after` covers, and is a stranger to that model"""
    shown: Shown = field(default_factory=dict)
    """where it was asked for"""


@dataclass(frozen=True, slots=True)
class Appended:
    """How many events of a batch were accepted now, and how many were known already."""

    new: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class Range:
    """Sequence numbers start to stop of a shard, both included."""

    shard: int
    start: int
    stop: int


def subject(event: Event) -> str | None:
    """Whose event it is: "m:<member_id>", else "v:<visitor_id>", else nobody's.

    An identification is the visitor's, though in no list of events.
    """
    if event.kind == IDENTIFY:
        return f"v:{event.visitor_id}"
    if event.member_id is not None:
        return f"m:{event.member_id}"
    return None if event.visitor_id is None else f"v:{event.visitor_id}"


def shard_of(key: str, shards: int) -> int:
    """The shard of a subject. An event of nobody is placed by its event id."""
    return stable_hash(key) % shards


class Feed(Protocol):
    """The store of the present. Methods raise FeedError where the store fails.

    An append that fails or is cancelled may still have been stored: send it again.
    """

    @property
    def shards(self) -> int:
        """How many logs there are: fixed when the store is made. They count from 0."""

    @property
    def warnings(self) -> Sequence[str]:
        """Where the store promises less than the feed needs, in sentences for the operator."""

    async def append(self, events: Sequence[Event], *, now: int) -> Appended:
        """Accept events; when this returns they survive a kill and a loss of power.

        A known event id is a duplicate, whatever else differs: known are the ids in the feed
        and, after a trim, those accepted in the last REMEMBERED_US. With several shards an id
        is known within its subject's shard, so a retry keeps its member and visitor.
        A batch's events in one shard are stored together or not at all.
        """

    async def recent(
        self, subject: str, *, after: Mapping[int, int], limit: int, shown: bool = False
    ) -> Recent:
        """The subject's latest events numbered above after[shard] (default 0), one round trip.

        At most `limit` of them, and none beyond the latest KEPT_RECENT. Of a member who was
        identified as a visitor those of the visitor, too, for one more trip: see `marks.of_member`.
        `shown` brings along what the subject was shown of late.
        """

    async def last_sequences(self) -> dict[int, int]:
        """The last number given out in each shard; 0 where there was none."""

    async def read(self, shard: int, start: int, stop: int) -> list[tuple[int, Event]]:
        """Numbers and events from start to stop, both included, in order. All in memory."""

    async def fix_range(self, shard: int, *, limit: int) -> Range | None:
        """Decide and store which events the next part of the dataset holds.

        The same range again until it is confirmed; None when nothing is new. A new range
        follows the last confirmed one and has at most `limit` numbers.
        """

    async def confirm(self, fixed: Range) -> None:
        """The range is in the dataset for good. Again is no harm."""

    async def trim(self, shard: int, up_to: int, *, now: int) -> None:
        """Forget events numbered up to `up_to`, which must be confirmed; and what was shown to
        subjects that have been shown nothing for KEPT_DAYS."""

    async def tell(self, changes: Sequence[ProductChange]) -> None:
        """Take up news of products, all or none; when this returns they survive a kill."""

    async def told(self, *, after: int) -> tuple[int, list[ProductNews]]:
        """The number of the latest change, and all that is said of each product that changed after
        a number; after 0, everything that is said of any."""

    async def identify(self, visitor_id: str, member_id: str, *, event_id: str, now: int) -> bool:
        """A visitor turned out to be a member: a numbered entry of the visitor's shard, durable
        when this returns. False, and no entry, where that was the latest said of the visitor."""

    async def erase(self, member_id: str, *, event_id: str, until: int, now: int) -> None:
        """Forget a member's latest events and visitors: a numbered entry of the member's shard,
        for all that happened until an instant. Durable when this returns; again is no harm."""

    async def erased(self) -> Mapping[str, tuple[int, int]]:
        """Shard and number of each member's latest erasure, until that is trimmed."""

    async def exchange(self, batch: bytes | None, *, after: int | None) -> tuple[int, list[bytes]]:
        """Put what this worker's callers took, and get what other workers put after a number; none
        of it without a number. One round trip; returns the number for the next one.

        Not under the promise of `append`: the latest of them are kept, and where a call is made
        again a batch may be there twice.
        """

    async def show(self, impressions: Sequence[Impression], notices: Sequence[Notice]) -> None:
        """Keep what was shown, and count what was noticed. Not under the promise of `append`: some
        of it may be lost, or counted twice where a call is made again."""

    async def last_impressions(self) -> dict[int, int]:
        """The number of each shard's latest batch of impressions; 0 where there was none."""

    async def read_impressions(
        self, shard: int, *, after: int, limit: int
    ) -> list[tuple[int, list[Impression]]]:
        """The next `limit` batches that are still there, in order, with their numbers."""

    async def forget_impressions(self, shard: int, up_to: int) -> None:
        """Batches up to this number are in the dataset."""

    async def close(self) -> None:
        """Finish what was accepted and let go of the store."""
