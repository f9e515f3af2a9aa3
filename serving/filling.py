"""Fill a list: the page, then the member, then the catalogue, all under the same rules."""

from math import floor
from typing import NamedTuple

import numpy as np

from serving.asking import DAY_US, Asking, Request
from serving.choosing import MEMBER, PAGE, SHELF
from serving.kernel import Found, Rows
from serving.picks import Pick
from serving.ranker import Ranker, Seeds, member_picks, page_picks


class Filled(NamedTuple):
    """A list, and how it came about."""

    picks: list[Pick]
    page: int
    member: int
    catalogue: int
    """picks from each, before new products took the last places"""
    new: int
    pinned: int = 0
    variants: int = 0
    alike: int = 0
    """products passed over for another variant, or for others of their brand or category"""
    relaxed: int = 0
    """picks that break such a limit, for nothing else was left"""


def filled(ranker: Ranker, request: Request, asked: Asking) -> Filled:
    """`limit` distinct products that may be shown, while there are so many."""
    return (_plainly if asked.view.plain else _under_limits)(ranker, request, asked)


def _plainly(ranker: Ranker, request: Request, asked: Asking) -> Filled:
    """Score and mask alone decide, so no more is ranked than is shown."""
    view, hidden, limit = asked.view, asked.hidden, request.limit
    picks: list[Pick] = []
    if seeds := _page_seeds(request, asked):
        picks = page_picks(ranker.page_list(seeds, excluded=hidden, limit=limit, view=view))
        if picks:
            taken = np.array([pick.product for pick in picks], np.int32)
            hidden = np.concatenate((hidden, taken))
    of_page, taken = len(picks), hidden[:0]
    if of_page < limit and "member" in request.placement.sources:
        own = _member_list(ranker, request, asked, hidden=hidden, limit=limit - of_page)
        picks += member_picks(own)
        taken = own.products
    of_member = len(picks) - of_page
    picks += ranker.shelf_picks(taken, hidden, limit - len(picks), view)
    of_catalogue = len(picks) - of_page - of_member
    picks, new = _with_new(ranker, request, asked, picks, [])
    return Filled(picks, of_page, of_member, of_catalogue, new)


def _under_limits(ranker: Ranker, request: Request, asked: Asking) -> Filled:
    """Everything is ranked, for what is too much alike gives its place to what comes after."""
    view, hidden = asked.view, asked.hidden
    page = own = None
    if seeds := _page_seeds(request, asked):
        page = ranker.page_list(seeds, excluded=hidden, limit=None, view=view)
    if "member" in request.placement.sources:
        own = _member_list(ranker, request, asked, hidden=hidden, limit=None)
    pins = _pins(request, asked)
    rows = list(pins.values())
    picks, chosen = ranker.chosen(
        view,
        page,
        own,
        excluded=hidden,
        pinned=np.array(rows, np.int32),
        limit=request.limit - len(pins),
    )
    within, (page_n, member_n, shelf_n) = chosen.within, _counts(chosen.part)
    relaxed = len(picks) - within
    picks, new = _with_new(ranker, request, asked, picks, rows)
    pinned = ranker.picks_of(np.array(rows, np.int32), view)
    for place, pick in zip(pins, pinned, strict=True):
        picks.insert(place - 1, pick._replace(reason="pinned"))
    variants = int(chosen.left_out[: view.limits.variants].sum())
    alike = int(chosen.left_out.sum()) - variants
    return Filled(picks, page_n, member_n, shelf_n, new, len(pins), variants, alike, relaxed)


def _page_seeds(request: Request, asked: Asking) -> Seeds | None:
    if not asked.seeds or "page" not in request.placement.sources:
        return None
    return Seeds(np.array(asked.seeds, np.int32), np.ones(len(asked.seeds), np.float32))


def _member_list(
    ranker: Ranker, request: Request, asked: Asking, *, hidden: Rows, limit: int | None
) -> Found:
    return ranker.member_list(
        asked.member,
        asked.present.session,
        bought=asked.present.bought,
        excluded=hidden,
        limit=limit,
        now=request.now / DAY_US,
        view=asked.view,
    )


def _pins(request: Request, asked: Asking) -> dict[int, int]:
    """Product by place, as far as the list reaches and the product may be shown."""
    barred, hidden = asked.view.tables.barred, set(asked.hidden.tolist())
    return {
        place: row
        for place, row in asked.view.pins
        if place <= request.limit and not barred[row] and row not in hidden
    }


def _with_new(
    ranker: Ranker, request: Request, asked: Asking, picks: list[Pick], pinned: list[int]
) -> tuple[list[Pick], int]:
    if "new" not in request.placement.sources or not len(ranker.model.fresh_anybody):
        return picks, 0
    bought = {product for product, _ in asked.present.bought}
    listed = ranker.with_new(
        picks,
        asked.member,
        view=asked.view,
        pinned=pinned,
        who=request.member_id or "",
        hidden=bought.union(asked.hidden.tolist(), pinned),
        today=floor(request.now / DAY_US),
    )
    return listed, sum(one is not other for one, other in zip(listed, picks, strict=True))


def _counts(parts: Rows) -> tuple[int, int, int]:
    page, member, shelf = (int((parts == part).sum()) for part in (PAGE, MEMBER, SHELF))
    return page, member, shelf
