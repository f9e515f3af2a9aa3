"""Fill a list: the page, then the member, then the catalogue, all under the same rules."""

from itertools import repeat
from typing import NamedTuple

import numpy as np

from serving.asking import DAY_US, Asking, Request
from serving.picks import Pick
from serving.ranker import Ranker
from serving.tables import CODES, MEMBER, NO_ROWS, PAGE, SHELF


class Filled(NamedTuple):
    """A list, and how it came about."""

    picks: list[Pick]
    page: int
    member: int
    catalogue: int
    """picks from each, before new products took the last places"""
    new: int
    pinned: int
    variants: int
    alike: int
    """products passed over for another variant, or for others of their brand or category"""
    relaxed: int
    """picks that break such a limit, for nothing else was left"""


def filled(ranker: Ranker, request: Request, asked: Asking) -> Filled:
    """`limit` distinct products that may be shown, while there are so many."""
    sources, here = request.placement.sources, asked.present
    pins = _pins(request, asked) if asked.view.pins else {}
    pinned = np.array(list(pins.values()), np.int32) if pins else NO_ROWS
    found = ranker.listed(
        asked.view,
        asked.member,
        page=np.array(asked.seeds, np.int32) if asked.seeds and "page" in sources else NO_ROWS,
        own="member" in sources,
        session=here.session,
        bought=here.bought,
        outside=asked.hidden,
        pinned=pinned,
        new_for=(request.member_id or "") if "new" in sources else None,
        rotated=asked.rotated,
        fall=0.0 if request.placement.rotation is None else request.placement.rotation.logit,
        now=request.now / DAY_US,
        limit=request.limit - len(pins),
    )
    products, parts, entries, codes, last_days, every_days = found.facts.tolist()
    reasons = [CODES[code] for code in codes]
    scores, chances = found.scores.tolist(), found.chances.tolist() or repeat(1.0)
    picks = list(map(Pick, products, scores, reasons, last_days, every_days, entries, chances))
    relaxed = len(picks) - found.within
    for place, row in pins.items():
        picks.insert(place - 1, ranker.pinned(row, asked.view))
    left_out = found.left_out.tolist()
    variants = sum(left_out[: asked.view.tables.limits.variants])
    return Filled(
        picks,
        parts.count(PAGE),
        parts.count(MEMBER),
        parts.count(SHELF),
        found.new,
        len(pins),
        variants,
        sum(left_out) - variants,
        relaxed,
    )


def _pins(request: Request, asked: Asking) -> dict[int, int]:
    """Product by place, as far as the list reaches and the product may be shown."""
    barred, hidden = asked.view.tables.barred, set(asked.hidden.tolist())
    return {
        place: row
        for place, row in asked.view.pins
        if place <= request.limit and not barred[row] and row not in hidden
    }
