"""A recommendation request, and what it means in the rows of a model."""

from array import array
from collections.abc import Callable, Iterable, Sequence
from math import floor

import msgspec
import numpy as np

from recsys import features
from recsys.history import KINDS
from serving.feed.contract import RecentEvent
from serving.placements import Placement
from serving.ranker import Ranker
from serving.rules import NOTHING_ASKED, Asked
from serving.tables import NO_ROWS, NO_SESSION, Rows, Session
from serving.views import View
from serving.wording import Language

DAY_US = 86_400_000_000
_KIND = {kind: code for code, kind in enumerate(KINDS)}


class Request(msgspec.Struct, frozen=True, gc=False):
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
    rotated: Sequence[str] = ()
    """shown often enough; they move down"""
    query: str | None = None
    """nothing but what fits this text; for a model that has a search index"""
    language: Language = "en"
    """of the reasons"""


class Present(msgspec.Struct, frozen=True, gc=False):
    """What the events say that the model does not contain yet."""

    session: Session
    bought: list[tuple[int, int]]
    """product and whole day of each purchase"""
    resting: set[int]
    """products bought a moment ago"""


class Asking(msgspec.Struct, frozen=True, gc=False):
    """A request in the model's rows."""

    member: int | None
    seeds: list[int]
    candidates: list[int] | None
    """of the request, or what fits its query"""
    view: View
    present: Present
    excluded: list[int]
    shown: list[int]
    hidden: Rows
    """all that this request must not show"""
    rotated: Rows


NOTHING_NEW = Present(NO_SESSION, [], set())


def asking(ranker: Ranker, request: Request, recent: Sequence[RecentEvent]) -> Asking:
    """Look up everything that the request names; FilterError for a bad filter."""
    row_of = ranker.product_row
    view = ranker.views.of(request.placement.rules, request.asked)
    candidates = None
    if request.candidates is not None:
        candidates = _rows(request.candidates, row_of)
        view = ranker.views.among(view, candidates)
    elif request.query is not None:
        matches = ranker.matches(request.query)
        candidates = matches.products.tolist()
        view = ranker.views.matching(view, matches)
    here = present(ranker, request, recent) if recent else NOTHING_NEW
    seeds = _rows(request.seeds, row_of)
    excluded, shown = _rows(request.excluded, row_of), _rows(request.shown, row_of)
    hidden = here.resting.union(seeds, excluded, shown)
    member = None if request.member_id is None else ranker.model.members.row(request.member_id)
    rows = np.array(sorted(hidden), np.int32) if hidden else NO_ROWS
    down = np.array(_rows(request.rotated, row_of), np.int32) if request.rotated else NO_ROWS
    return Asking(member, seeds, candidates, view, here, excluded, shown, rows, down)


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
    return Present(_session(ranker, recent), bought, resting)


def _rows(ids: Iterable[str], row_of: Callable[[str], int | None]) -> list[int]:
    return [row for text in dict.fromkeys(ids) if (row := row_of(text)) is not None] if ids else []


def _session(ranker: Ranker, recent: Sequence[RecentEvent]) -> Session:
    """The latest events, as many as training looks at, with a search as one event for each of the
    first products that it finds."""
    row_of, products, days, kinds = ranker.product_row, array("i"), array("d"), array("B")
    for event in recent[-features.SESSION_EVENTS :]:
        if event.product_id is not None:
            if (row := row_of(event.product_id)) is not None:
                products.append(row)
                days.append(event.occurred_at / DAY_US)
                kinds.append(_KIND[event.kind])
        elif event.query:
            for row in ranker.searched(event.query):
                products.append(row)
                days.append(event.occurred_at / DAY_US)
                kinds.append(features.SEARCHED)
    if not products:
        return NO_SESSION
    return Session(
        np.frombuffer(products, np.int32),
        np.frombuffer(days, np.float64),
        np.frombuffer(kinds, np.uint8),
    )
