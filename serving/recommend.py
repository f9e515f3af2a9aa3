"""One recommendation request, answered."""

from collections.abc import Sequence
from math import floor

from serving.asking import DAY_US, Request, asking
from serving.feed.contract import RecentEvent
from serving.filling import Filled, filled
from serving.ranker import Ranker
from serving.schemas import Debug, Item
from serving.trace import traced


def recommend(ranker: Ranker, request: Request, recent: Sequence[RecentEvent]) -> list[Item]:
    """The placement's list: `limit` distinct products while the catalogue has them."""
    return _items(ranker, request, filled(ranker, request, asking(ranker, request, recent)))


def recommend_and_trace(
    ranker: Ranker, request: Request, recent: Sequence[RecentEvent]
) -> tuple[list[Item], Debug]:
    """The same, and how many products each rule took away."""
    asked = asking(ranker, request, recent)
    found = filled(ranker, request, asked)
    return _items(ranker, request, found), traced(ranker, request, asked, found)


def _items(ranker: Ranker, request: Request, found: Filled) -> list[Item]:
    today, reasons, language = floor(request.now / DAY_US), ranker.reasons, request.language
    return [
        Item(ranker.product_id(pick.product), pick.score, *reasons.of(pick, today, language))
        for pick in found.picks
    ]
