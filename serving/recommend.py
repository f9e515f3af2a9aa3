"""One recommendation request: whose list, from which events, for which placement."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import floor
from typing import Literal

import numpy as np

from recsys import features
from recsys.history import KINDS
from serving.feed.contract import RecentEvent
from serving.picks import Pick
from serving.ranker import NO_SEEDS, Ranker, Seeds
from serving.schemas import Item
from serving.wording import Language

Placement = Literal["home", "product", "cart"]
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


def recommend(ranker: Ranker, request: Request, recent: Sequence[RecentEvent]) -> list[Item]:
    """The placement's list: `limit` distinct products while the catalogue has them."""
    now = request.now / DAY_US
    member = None if request.member_id is None else ranker.model.members.row(request.member_id)
    row_of = ranker.product_row
    here = present(ranker, request, recent)
    hidden = here.resting | set(_rows(request.excluded, row_of))
    named = _rows(request.seeds, row_of)
    hidden.update(named)
    excluded = np.array(sorted(hidden), np.int32)
    picks: list[Pick] = []
    if request.placement != "home" and named:
        seeds = Seeds(np.array(named, np.int32), np.ones(len(named), np.float32))
        picks = ranker.together(seeds, excluded=excluded, limit=request.limit)
    if len(picks) < request.limit:
        taken = np.array([pick.product for pick in picks], np.int32)
        picks += ranker.home(
            member,
            here.session,
            bought=here.bought,
            excluded=np.concatenate((excluded, taken)) if len(taken) else excluded,
            limit=request.limit - len(picks),
            now=now,
        )
    today = floor(now)
    if request.placement == "home":
        who = request.member_id or ""
        known = hidden | {product for product, _ in here.bought}
        picks = ranker.with_new(picks, member, who=who, hidden=known, today=today)
    reasons = ranker.reasons
    return [
        Item(
            ranker.product_id(pick.product), pick.score, *reasons.of(pick, today, request.language)
        )
        for pick in picks
    ]


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
