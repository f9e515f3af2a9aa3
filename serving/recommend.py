"""One recommendation request, answered."""

from collections.abc import Sequence
from math import floor
from typing import NamedTuple

from serving.asking import DAY_US, Request, asking
from serving.feed.contract import RecentEvent
from serving.filling import Filled, filled
from serving.picks import Pick
from serving.ranker import Ranker
from serving.schemas import Debug, Item
from serving.trace import traced


class Answer(NamedTuple):
    """A list in words and as it was picked."""

    items: list[Item]
    picks: Sequence[Pick]
    debug: Debug | None
    """how many products each rule took away, where that was asked for"""


def recommend(ranker: Ranker, request: Request, recent: Sequence[RecentEvent]) -> list[Item]:
    """The placement's list: `limit` distinct products while the catalogue has them."""
    return answered(ranker, request, recent).items


def answered(
    ranker: Ranker, request: Request, recent: Sequence[RecentEvent], *, debug: bool = False
) -> Answer:
    """The same, and how it came about."""
    asked = asking(ranker, request, recent)
    found = filled(ranker, request, asked)
    trace = traced(ranker, request, asked, found) if debug else None
    return Answer(_items(ranker, request, found), found.picks, trace)


def _items(ranker: Ranker, request: Request, found: Filled) -> list[Item]:
    today, reasons, language = floor(request.now / DAY_US), ranker.reasons, request.language
    return [
        Item(ranker.product_id(pick.product), pick.score, *reasons.of(pick, today, language))
        for pick in found.picks
    ]
