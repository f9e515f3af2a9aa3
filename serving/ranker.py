"""One model made ready to answer: which products, at which score, for which reason."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import floor

import numpy as np
from numpy.typing import NDArray

from recsys import features
from recsys.features import Floats
from recsys.ids import unit_interval
from recsys.model import Model
from recsys.scoring import REASON_CODES
from serving import kernel
from serving.choosing import MEMBER, PAGE, Chosen, choose
from serving.feed.news import ProductNews
from serving.kernel import NOWHERE, Entries, Found, Halves, Rows, Tables
from serving.picks import Pick
from serving.reasons import Reasons
from serving.rules import Rules
from serving.views import View, Views

NEIGHBOURS_OF_SEED = 24
"""products that one event points at: 20 events bring at most 480 candidates"""
STRANGER = slice(0, 0)
KNOWN_ROWS = 50_000
"""products whose row a worker remembers: about 10 MB"""
_AGAIN = REASON_CODES.index("again")
_NO_ROWS = np.zeros(0, np.int32)
_OPEN = Rules(one_variant=False)


@dataclass(frozen=True, slots=True)
class Seeds:
    """Products that point at others, each with how much it says."""

    products: Rows
    weights: Floats


NO_SEEDS = Seeds(_NO_ROWS, np.zeros(0, np.float32))


class Ranker:
    """Answers from one model. Not thread-safe: its scratch space belongs to the event loop."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self._written = model
        self.heard = 0
        """the number of the latest news of products that was taken up"""
        self.reasons = Reasons(model)
        self.product_row = lru_cache(KNOWN_ROWS)(model.products.row)
        """a product's row, or None; hot products cost one look-up in a dict"""
        self.product_id = lru_cache(KNOWN_ROWS)(model.products.text)
        base = model.base
        self._base = Entries(
            base.products,
            _bits(base.static),
            base.last_day,
            _bits(base.interval),
            base.reasons,
        )
        self._look()
        self.home(None, NO_SEEDS, bought=(), excluded=_NO_ROWS, limit=1, now=0)  # compiles
        self.together(NO_SEEDS, excluded=_NO_ROWS, limit=1)
        self.chosen(self._open, None, None, excluded=_NO_ROWS, pinned=_NO_ROWS, limit=1)

    def hear(self, news: Sequence[ProductNews], *, number: int) -> None:
        """Take up what is said of stock and price; it counts from the next list on. What nothing is
        said of any more is again as the model has it."""
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

    def _look(self) -> None:
        self.views = Views(self.model, _tables(self.model))
        self._open = self.views.of(_OPEN)

    def home(
        self,
        member: int | None,
        seeds: Seeds,
        *,
        bought: Sequence[tuple[int, int]],
        excluded: Rows,
        limit: int,
        now: float,
    ) -> list[Pick]:
        """The member's list at `now` (days since 1970), filled up, with nothing but stock to obey.

        bought: (product, whole day) of purchases that the model does not contain yet.
        """
        found = self.member_list(
            member, seeds, bought=bought, excluded=excluded, limit=limit, now=now
        )
        picks = member_picks(found)
        return picks + self.shelf_picks(found.products, excluded, limit - len(picks))

    def together(self, seeds: Seeds, *, excluded: Rows, limit: int) -> list[Pick]:
        """What is bought together with the seeds, by the sum of cosines; it may run out."""
        return page_picks(self.page_list(seeds, excluded=excluded, limit=limit))

    def member_list(
        self,
        member: int | None,
        seeds: Seeds,
        *,
        bought: Sequence[tuple[int, int]],
        excluded: Rows,
        limit: int | None,
        now: float,
        view: View | None = None,
    ) -> Found:
        """Their base list and what the seeds point at, ranked; None as limit is all of it."""
        tables = (view or self._open).tables
        entries = self.entries(member)
        if limit is None:
            reach = len(seeds.products) * NEIGHBOURS_OF_SEED
            limit = entries.stop - entries.start + reach + len(tables.lifted)
        bought_rows, bought_days = _columns(bought)
        return kernel.best_of_all(
            tables,
            self._base.part(entries),
            bought_rows,
            bought_days,
            seeds.products,
            seeds.weights,
            NEIGHBOURS_OF_SEED,
            np.float32(0 if member is None else self.model.member_static[member]),
            excluded,
            np.float32(now),
            limit,
        )

    def page_list(
        self, seeds: Seeds, *, excluded: Rows, limit: int | None, view: View | None = None
    ) -> Found:
        """What is bought together with the seeds, ranked; None as limit is all of it."""
        most = 10 * NEIGHBOURS_OF_SEED
        limit = len(seeds.products) * most if limit is None else limit
        tables = (view or self._open).tables
        return kernel.best_together(tables, seeds.products, seeds.weights, most, excluded, limit)

    def shelf_picks(
        self, taken: Rows, excluded: Rows, missing: int, view: View | None = None
    ) -> list[Pick]:
        """Fill the shelf from the catalogue; short only where the catalogue is."""
        if missing <= 0:
            return []
        shelf = (view or self._open).shelf
        reach = shelf[: missing + len(taken) + len(excluded)]
        left = reach[~np.isin(reach, taken) & ~np.isin(reach, excluded)][:missing]
        return self.picks_of(left, view or self._open)

    def picks_of(self, rows: Rows, view: View) -> list[Pick]:
        """Products by themselves, whoever asks."""
        scores = self.model.product_static[rows].astype(np.float64)
        if len(view.tables.added):
            scores += view.tables.added[rows]
        return [
            Pick(product, score, self._plain_reason(product))
            for product, score in zip(
                rows.tolist(), scores.round(kernel.DECIMALS).tolist(), strict=True
            )
        ]

    def _plain_reason(self, product: int) -> str:
        if self.views.ranked[product]:
            return "popular"
        return "fresh" if product in self.model.fresh_anybody else "found"

    def chosen(
        self,
        view: View,
        page: Found | None,
        member: Found | None,
        *,
        excluded: Rows,
        pinned: Rows,
        limit: int,
    ) -> tuple[list[Pick], Chosen]:
        """Of whole ranked lists and the shelf, what keeps the view's limits."""
        found = choose(
            view.tables.places,
            (
                _NO_ROWS if page is None else page.products,
                _NO_ROWS if member is None else member.products,
                view.shelf,
            ),
            view.buried,
            view.limits,
            excluded,
            pinned,
            limit,
        )
        of_page, of_member = (found.at[found.part == part] for part in (PAGE, MEMBER))
        picks = {
            PAGE: iter(() if page is None else page_picks(_taken(page, of_page))),
            MEMBER: iter(() if member is None else member_picks(_taken(member, of_member))),
        }
        others = iter(self.picks_of(view.shelf[found.at[found.part > MEMBER]], view))
        return [next(picks.get(part, others)) for part in found.part.tolist()], found

    def with_new(
        self, picks: list[Pick], member: int | None, *, view: View, pinned: Sequence[int], who: str,
        hidden: set[int], today: int,
    ) -> list[Pick]:  # fmt: skip
        """The list with its last places given to products too new to be ranked: of all places,
        the pinned ones among them, the model's share, on each day to other members."""
        model = self.model
        choice = model.fresh_anybody if member is None else model.fresh[member]
        if not len(choice) or not picks:
            return picks
        share = (len(picks) + len(pinned)) * model.exploring
        places = floor(share + unit_interval(f"new {today}", who))
        taken = {pick.product for pick in picks} | hidden
        turned = np.roll(choice, -today).tolist()
        free = [row for row in turned if row >= 0 and row not in taken and view.welcomes(row)]
        new = free[: min(places, len(picks))]
        if len(view.limits.most):
            while new:
                beside = [*pinned, *(pick.product for pick in picks[: -len(new)])]
                places = len(new)
                new = view.fitting(free, beside, places)
                if len(new) == places:  # fewer would bring back picks that count as well
                    break
        kept = picks[: len(picks) - len(new)]
        lost = picks[len(kept) :]
        return kept + [Pick(row, pick.score, "fresh") for row, pick in zip(new, lost, strict=True)]

    def entries(self, member: int | None) -> slice:
        """The member's rows of the base lists."""
        if member is None:
            return STRANGER
        offsets = self.model.base.offsets
        return slice(int(offsets[member]), int(offsets[member + 1]))


def _tables(model: Model) -> Tables:
    clock, blend = model.clock, model.blend
    return Tables(
        near_offsets=model.near.offsets,
        near_products=model.near.products,
        near_cosine=_bits(model.near.cosine),
        product_static=_bits(model.product_static),
        barred=~np.asarray(model.sellable),
        added=np.zeros(0, np.float32),
        lifted=_NO_ROWS,
        curve=np.array([clock.of_age, clock.of_interval, *clock.at_knots], np.float32),
        session_repeat=blend.repeat.part(features.SESSION)[0],
        session_new=blend.new.part(features.SESSION)[0],
        places=np.full(len(model.products), NOWHERE, np.int32),
    )


def page_picks(found: Found) -> list[Pick]:
    """What is bought together says with what."""
    return [
        Pick(product, score, "together", entry=entry)
        for product, score, entry in zip(
            found.products.tolist(), found.scores.tolist(), found.entries.tolist(), strict=True
        )
    ]


def member_picks(found: Found) -> list[Pick]:
    """What the session points at says so, unless the member buys it again and again; other
    products of the base list carry their reason there, and the rest is popular."""
    picks = []
    columns = (column.tolist() for column in found)
    for product, score, entry, code, last_day, every_days in zip(*columns, strict=True):
        if code == _AGAIN:
            pick = Pick(product, score, "again", last_day, every_days)
        elif entry == NOWHERE:
            pick = Pick(product, score, REASON_CODES[code])
        else:
            pick = Pick(product, score, "session", entry=entry)
        picks.append(pick)
    return picks


def _taken(found: Found, at: Rows) -> Found:
    products, scores, entries, reasons, last_day, every_days = found
    return Found(products[at], scores[at], entries[at], reasons[at], last_day[at], every_days[at])


def _bits(mapped: NDArray[np.float16]) -> Halves:
    return mapped.view(np.uint16)


def _columns(bought: Sequence[tuple[int, int]]) -> tuple[Rows, Rows]:
    if not bought:
        return _NO_ROWS, _NO_ROWS
    rows, days = zip(*bought, strict=True)
    return np.array(rows, np.int32), np.array(days, np.int32)
