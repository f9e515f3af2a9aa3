"""One model made ready to answer: which products, at which score, for which reason."""

from collections.abc import Sequence
from dataclasses import replace
from math import floor

import numpy as np
from numpy.typing import NDArray

from recsys import features
from recsys.ids import unit_interval
from recsys.model import Model
from recsys.search import NO_MATCHES, Description, Matches, Search
from serving import kernel
from serving.feed.news import ProductNews
from serving.newcomers import MATCHED, Newcomers
from serving.picks import Pick
from serving.reasons import Reasons
from serving.remembered import Remembered
from serving.rules import Rules
from serving.tables import (
    NO_FLAGS,
    NO_ROWS,
    NO_SESSION,
    NOWHERE,
    Halves,
    Limits,
    Listed,
    Rows,
    Session,
    Tables,
)
from serving.views import View, Views

STRANGER = slice(0, 0)
SEARCH_SHOWS = 5
"""products of a search that a session counts: about those that its page shows without scrolling"""
KNOWN_SEARCHES = 5_000
KNOWN_ROWS = 50_000
"""products whose row, and rows whose product, a worker remembers: about 20 MB"""
_OPEN = Rules(one_variant=False)


class Ranker:
    """Answers from one model. Not thread-safe: its scratch space belongs to the event loop."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._written = model
        self._newcomers = Newcomers(model)
        self.heard = 0
        """the number of the latest news of products that was taken up"""
        self.reasons = Reasons(model)
        self._name_rows()
        self._exploring = model.exploring
        self._search = None if model.search is None else Search.open(model.search)
        self._told: Search | None = None
        """over the rows beside the model's, once somebody searches"""
        self._look()
        self.listed(self.views.of(_OPEN), None, limit=1, now=0.0)  # compiles

    def hear(self, news: Sequence[ProductNews], *, number: int) -> None:
        """Take up what is said of products; it counts from the next list on. What nothing is said
        of any more is again as the model has it."""
        if self._newcomers.hear(news):
            self._written, self.model = self._newcomers.beside(self.model)
            self._name_rows()
            self._told = None
        written = self._written
        sellable, prices = np.array(self.model.sellable), np.array(self.model.prices)
        for one in news:
            row = self.product_row(one.product_id)
            if row is not None:
                sellable[row] = written.sellable[row] if one.in_stock is None else one.in_stock
                prices[row] = written.prices[row] if one.price is None else one.price
        self.model = replace(self.model, sellable=sellable, prices=prices)
        self.heard = number
        self._look()

    def _name_rows(self) -> None:
        products = self.model.products
        self.product_row = Remembered(products.row, KNOWN_ROWS).__getitem__
        """a product's row, or None; hot products cost one look-up in a dict"""
        self.product_id = Remembered(products.text, KNOWN_ROWS).__getitem__
        self.searched = Remembered(self._first_found, KNOWN_SEARCHES).__getitem__
        """the first products that a text finds"""

    def matches(self, query: str) -> Matches:
        """What fits a text, of the rows beside the model's too; nothing without an index."""
        if self._search is None:
            return NO_MATCHES
        found, model = self._search.matches(query), self.model
        known = len(model.search.order) if model.search is not None else 0
        if known == len(model.products):
            return found
        if self._told is None:
            rows = np.arange(known, len(model.products), dtype=np.int32)[::-1]
            described = [
                Description(model.titles[row], model.categories[row], model.brands[row])
                for row in rows
            ]
            self._told = Search.over(described, rows)
        return found.plus(self._told.matches(query))

    def _first_found(self, query: str) -> list[int]:
        return self.matches(query).first(SEARCH_SHOWS)

    def _look(self) -> None:
        self.views = Views(self.model, _tables(self.model))

    def listed(
        self,
        view: View,
        member: int | None,
        *,
        limit: int,
        now: float,
        page: Rows = NO_ROWS,
        own: bool = True,
        session: Session = NO_SESSION,
        bought: Sequence[tuple[int, int]] = (),
        outside: Rows = NO_ROWS,
        pinned: Rows = NO_ROWS,
        new_for: str | None = None,
        rotated: Rows = NO_ROWS,
        fall: float = 0.0,
    ) -> Listed:
        """The best under a view's rules at `now` (days since 1970): see `kernel.best_list`.

        bought: (product, whole day) of purchases that the model does not contain yet.
        new_for: whose last places go to products too new to be ranked, on each day to others; None
        is nobody's.
        """
        model, entries, today = self.model, self.entries(member), floor(now)
        fresh, luck = NO_ROWS, 0.0
        if new_for is not None and len(model.fresh_anybody):
            fresh = self._new_for(member)
            luck = unit_interval(f"new {today}", new_for)
        bought_rows, bought_days = _columns(bought)
        return kernel.best_list(
            view.tables,
            page,
            own,
            entries.start,
            entries.stop,
            np.float32(0 if member is None else model.member_static[member]),
            session,
            bought_rows,
            bought_days,
            outside,
            pinned,
            fresh,
            today,
            self._exploring,
            luck,
            rotated,
            np.float32(fall),
            now,
            limit,
        )

    def pinned(self, product: int, view: View) -> Pick:
        """A product by itself, whoever asks."""
        score = float(self.model.product_static[product])
        if len(view.tables.added):
            score += float(view.tables.added[product])
        return Pick(product, round(score, kernel.DECIMALS), "pinned")

    def _new_for(self, member: int | None) -> Rows:
        """Products too new to be ranked that may suit a member; -1 is none."""
        model = self.model
        if member is None:
            return model.fresh_anybody[:MATCHED]
        told = self._newcomers.matching(model.base.products[self.entries(member)])
        chosen: Rows = model.fresh[member]
        return np.concatenate((told, chosen)) if len(told) else chosen

    def entries(self, member: int | None) -> slice:
        """The member's rows of the base lists."""
        if member is None:
            return STRANGER
        offsets = self.model.base.offsets
        return slice(int(offsets[member]), int(offsets[member + 1]))


def _tables(model: Model) -> Tables:
    base, clock, blend, once = model.base, model.clock, model.blend, model.once
    leaves = model.categories.codes.view()
    leaves.setflags(write=False)  # as what is mapped: for others the loops would be made anew
    return Tables(
        base_products=base.products,
        base_static=_bits(base.static),
        base_last_day=base.last_day,
        base_interval=_bits(base.interval),
        base_reasons=base.reasons,
        near_offsets=model.near.offsets,
        near_products=model.near.products,
        near_cosine=_bits(model.near.cosine),
        product_static=_bits(model.product_static),
        once=np.zeros((2, 0), np.uint16) if once is None else _bits(once),
        leaves=leaves,
        alone=np.zeros(0, np.uint8),
        curve=np.array([clock.of_age, clock.of_interval, *clock.at_knots], np.float32),
        session=np.stack([one.part(features.SESSION) for one in (blend.new, blend.repeat)]),
        interest=np.zeros((2, len(model.categories.texts)), np.float32),
        places=np.full(len(model.products), NOWHERE, np.int32),
        barred=~np.asarray(model.sellable),
        added=np.zeros(0, np.float32),
        lifted=NO_ROWS,
        shelf=NO_ROWS,
        buried=NO_FLAGS,
        limits=Limits(np.zeros((len(model.products), 0), np.int32), NO_ROWS, 0, 0),
    )


def _bits(mapped: NDArray[np.float16]) -> Halves:
    return mapped.view(np.uint16)


def _columns(bought: Sequence[tuple[int, int]]) -> tuple[Rows, Rows]:
    if not bought:
        return NO_ROWS, NO_ROWS
    rows, days = zip(*bought, strict=True)
    return np.array(rows, np.int32), np.array(days, np.int32)
