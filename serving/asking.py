"""A recommendation request, and what it means in the rows of a model."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import floor

import numpy as np

from recsys import features
from recsys.history import KINDS
from serving.feed.contract import RecentEvent
from serving.kernel import Rows
from serving.placements import Placement
from serving.ranker import NO_SEEDS, Ranker, Seeds
from serving.rules import NOTHING_ASKED, Asked
from serving.views import View
from serving.wording import Language

DAY_US = 86_400_000_000
_KIND = {kind: code for code, kind in enumerate(KINDS)}


@dataclass(frozen=True, slots=True)
class Request:
    """A checked request. Times in microseconds since 1970 UTC."""

    member_id: str | None
    placement: Placement
    seeds: Sequence[str]
    """the product of a product page, or the cart"""
    excluded: Sequence[str]
    limit: int
    now: int
    rest_hours: float
    shown: Sequence[str] = ()
    """what the page or the cart shows already"""
    asked: Asked = NOTHING_ASKED
    candidates: Sequence[str] | None = None
    """nothing but these"""
    language: Language = "en"
    """of the reasons"""


@dataclass(frozen=True, slots=True)
class Present:
    """What the events say that the model does not contain yet."""

    session: Seeds
    bought: list[tuple[int, int]]
    """product and whole day of each purchase"""
    resting: set[int]
    """products bought a moment ago"""


@dataclass(frozen=True, slots=True)
class Asking:
    """A request in the model's rows."""

    member: int | None
    seeds: list[int]
    candidates: list[int] | None
    view: View
    present: Present
    excluded: list[int]
    shown: list[int]
    hidden: Rows
    """all that this request must not show"""


def asking(ranker: Ranker, request: Request, recent: Sequence[RecentEvent]) -> Asking:
    """Look up everything that the request names; FilterError for a bad filter."""
    row_of = ranker.product_row
    view = ranker.views.of(request.placement.rules, request.asked)
    candidates = None
    if request.candidates is not None:
        candidates = _rows(request.candidates, row_of)
        view = ranker.views.among(view, candidates)
    here = present(ranker, request, recent)
    seeds = _rows(request.seeds, row_of)
    excluded, shown = _rows(request.excluded, row_of), _rows(request.shown, row_of)
    hidden = np.array(sorted(here.resting.union(seeds, excluded, shown)), np.int32)
    member = None if request.member_id is None else ranker.model.members.row(request.member_id)
    return Asking(member, seeds, candidates, view, here, excluded, shown, hidden)


def present(ranker: Ranker, request: Request, recent: Sequence[RecentEvent]) -> Present:
    """Read the latest events at the request's instant."""
    row_of = ranker.product_row
    rest = request.now - request.rest_hours * DAY_US / 24
    bought, resting = [], set()
    for event in recent:
        if event.kind != "purchase" or event.product_id is None:
            continue
        if (row := row_of(event.product_id)) is not None:
            bought.append((row, floor(event.occurred_at / DAY_US)))
            if event.occurred_at > rest:
                resting.add(row)
    return Present(_session(recent, row_of, request.now / DAY_US), bought, resting)


def _rows(ids: Iterable[str], row_of: Callable[[str], int | None]) -> list[int]:
    return [row for text in dict.fromkeys(ids) if (row := row_of(text)) is not None]


def _session(
    recent: Sequence[RecentEvent], row_of: Callable[[str], int | None], now: float
) -> Seeds:
    """The latest events as seeds, weighted as training weighs them."""
    events = [
        (row, event.occurred_at / DAY_US, _KIND[event.kind])
        for event in recent[-features.SESSION_EVENTS :]
        if event.product_id is not None and (row := row_of(event.product_id)) is not None
    ]
    if not events:
        return NO_SEEDS
    products, days, kinds = zip(*events, strict=True)
    weights = features.session_weights(now, np.array(days), np.array(kinds, np.uint8))
    return Seeds(np.array(products, np.int32), weights)
