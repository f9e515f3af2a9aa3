"""What a subject was shown again and again, and did nothing with, makes room for other products."""

from collections.abc import Sequence
from dataclasses import dataclass

from serving.feed.contract import Event, Recent, RecentEvent, subject
from serving.feed.impressions import Notice

ACTS = frozenset({"view", "click", "add_to_cart", "purchase"})
"""after these a product's showings count from nothing again"""


@dataclass(frozen=True, slots=True)
class Rotation:
    """Of a placement. A product that was shown `showings` times, and never more than `days` apart,
    loses `logit`."""

    showings: int = 3
    days: float = 7
    logit: float = 2.0

    @property
    def row(self) -> int:
        """The longest pause between two showings, in minutes."""
        return round(self.days * 1_440)


def rotated(rotation: Rotation | None, recent: Recent, now: int) -> list[str]:
    """Products that move down at `now`, in microseconds since 1970."""
    if rotation is None or not recent.shown:
        return []
    since, least = now // 60_000_000 - rotation.row, rotation.showings
    found = [
        product_id
        for product_id, seen in recent.shown.items()
        if seen & 15 >= least and seen >> 4 >= since
    ]
    if not found or not recent.events:
        return found
    acted = _last_acts(recent.events)  # the store hears of the latest a moment later
    return [one for one in found if recent.shown[one] >> 4 > acted.get(one, 0)]


def acts(events: Sequence[Event]) -> list[Notice]:
    """What is said of somebody's products by events."""
    return [
        Notice(whose, event.occurred_at // 60_000_000, [event.product_id], None)
        for event in events
        if event.kind in ACTS
        and event.product_id is not None
        and (whose := subject(event)) is not None
    ]


def _last_acts(events: Sequence[RecentEvent]) -> dict[str | None, int]:
    """In minutes, by product."""
    last: dict[str | None, int] = {}
    for event in events:
        if event.kind in ACTS:
            minute = event.occurred_at // 60_000_000
            last[event.product_id] = max(minute, last.get(event.product_id, 0))
    return last
