"""One model made ready to answer: everything here is numpy over a few hundred candidates."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from recsys import features, scoring
from recsys.features import Floats
from recsys.model import Model
from serving.picks import Pick
from serving.reasons import Reasons

Rows = NDArray[np.int32]

NEIGHBOURS_OF_SEED = 24
"""products that one event points at: 20 events bring at most 480 candidates"""
STRANGER = slice(0, 0)
NO_SEED = -1
KNOWN_ROWS = 50_000
"""products whose row a worker remembers: about 10 MB"""


@dataclass(frozen=True, slots=True)
class Seeds:
    """Products that point at others, each with how much it says."""

    products: Rows
    weights: Floats


class Ranker:
    """Answers from one model. Not thread-safe: `_slots` is scratch space of the event loop."""

    def __init__(self, model: Model) -> None:
        self.model = model
        blend = model.blend
        self._session_repeat = float(blend.repeat.part(features.SESSION)[0])
        self._session_new = float(blend.new.part(features.SESSION)[0])
        self.reasons = Reasons(model)
        self.product_row = lru_cache(KNOWN_ROWS)(model.products.row)
        """a product's row, or None; hot products cost one look-up in a dict"""
        self.product_id = lru_cache(KNOWN_ROWS)(model.products.text)
        self._slots = np.full(len(model.products), -1, np.int32)
        self._out_of_stock = ~np.asarray(model.sellable)
        self._popular = np.asarray(model.popular)[np.asarray(model.sellable)[model.popular]]

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
        """The member's list at `now` (days since 1970).

        bought: (product, whole day) of purchases that the model does not contain yet.
        """
        model = self.model
        entries = STRANGER if member is None else self._entries(member)
        own = model.base.products[entries]
        last = model.base.last_day[entries].astype(np.float32)
        interval = model.base.interval[entries].astype(np.float32)
        slots = self._slots
        slots[own] = np.arange(len(own), dtype=np.int32)
        for product, day in bought:
            if 0 <= (slot := slots[product]) < len(own):
                last[slot] = day
        products, logits = own, self._own_logits(entries, last, interval, now)
        seed_at = np.full(len(own), NO_SEED, np.int32)
        if len(seeds.products):
            shift = 0.0 if member is None else float(model.member_static[member])
            products, logits, seed_at = self._with_session(own, logits, last > 0, seeds, shift)
        logits[self._out_of_stock[products]] = -np.inf
        if len(excluded):
            hidden = slots[excluded]
            logits[hidden[hidden >= 0]] = -np.inf
        slots[products] = -1

        chosen = scoring.top(logits, limit)
        picks = self._picks(
            chosen,
            self.model.base.reasons[entries],
            columns=(products, logits, seed_at),
            last=last,
            interval=interval,
        )
        return picks + self._popular_picks(products[chosen], excluded, limit - len(picks))

    def _with_session(
        self, own: Rows, logits: Floats, repeated: NDArray[np.bool_], seeds: Seeds, shift: float
    ) -> tuple[Rows, Floats, Rows]:
        """The base list with what its member's events point at: products, logits, and the event
        that points most at each. `_slots` holds the place of each product of `own`, and then of
        each product returned."""
        slots, model = self._slots, self.model
        near, cosine, seed_of = self._neighbours(seeds)
        fresh = self._distinct(near[slots[near] < 0])
        slots[fresh] = np.arange(len(own), len(own) + len(fresh), dtype=np.int32)
        products = np.concatenate((own, fresh))
        places = slots[near]
        similarity = np.bincount(places, cosine, len(products)).astype(np.float32)
        weights = np.full(len(products), self._session_new, np.float32)
        weights[: len(own)][repeated] = self._session_repeat
        unknown = model.product_static[fresh].astype(np.float32) + np.float32(shift)
        logits = np.concatenate((logits, unknown))
        logits += features.session(similarity)[:, 0] * weights
        return products, logits, _strongest(places, cosine, seed_of, len(products))

    def together(self, seeds: Seeds, *, excluded: Rows, limit: int) -> list[Pick]:
        """What is bought together with the seeds, by the sum of cosines; it may run out."""
        near, cosine, seed_of = self._neighbours(seeds, most=10 * NEIGHBOURS_OF_SEED)
        products, place = np.unique(near, return_inverse=True)
        scores = np.bincount(place, cosine, len(products)).astype(np.float32)
        scores[np.isin(products, excluded) | self._out_of_stock[products]] = -np.inf
        seed_at = _strongest(place, cosine, seed_of, len(products))
        return [
            Pick(int(products[at]), float(scores[at]), "together", seed=int(seed_at[at]))
            for at in scoring.top(scores, limit).tolist()
        ]

    def _entries(self, member: int) -> slice:
        offsets = self.model.base.offsets
        return slice(int(offsets[member]), int(offsets[member + 1]))

    def _neighbours(
        self, seeds: Seeds, *, most: int = NEIGHBOURS_OF_SEED
    ) -> tuple[Rows, Floats, Rows]:
        """The neighbours of all seeds in one go: product, weighted cosine, seed."""
        near = self.model.near
        if not len(seeds.products):
            return _NO_ROWS, _NO_FLOATS, _NO_ROWS
        starts = near.offsets[seeds.products]
        counts = np.minimum(near.offsets[seeds.products + 1] - starts, most)
        ends = np.cumsum(counts)
        rows = np.arange(ends[-1]) + np.repeat(starts - ends + counts, counts)
        cosine = near.cosine[rows].astype(np.float32) * np.repeat(seeds.weights, counts)
        return near.products[rows], cosine, np.repeat(seeds.products, counts)

    def _distinct(self, products: Rows) -> Rows:
        """Each product once, by its last place: two scatters instead of a sort."""
        places = np.arange(len(products), dtype=np.int32)
        self._slots[products] = places
        kept: Rows = products[self._slots[products] == places]
        return kept

    def _own_logits(self, entries: slice, last: Floats, interval: Floats, now: float) -> Floats:
        """Base-list logits as training computes them, with what was bought since."""
        static = self.model.base.static[entries].astype(np.float32)
        clock = self.model.clock.logits(now, last, interval)
        return static + clock * (last > 0)

    @staticmethod
    def _picks(
        chosen: NDArray[np.intp],
        reasons: NDArray[np.uint8],
        *,
        columns: tuple[Rows, Floats, Rows],
        last: Floats,
        interval: Floats,
    ) -> list[Pick]:
        """What the session points at says so, unless the member buys it again and again; other
        products of the base list carry their reason there, and the rest is popular.
        """
        n_own = len(reasons)
        picks = []
        entries = zip(
            chosen.tolist(), *(column[chosen].tolist() for column in columns), strict=True
        )
        for at, product, score, seed in entries:
            reason = scoring.REASON_CODES[reasons[at]] if at < n_own else "popular"
            if reason == "again":
                pick = Pick(product, score, reason, int(last[at]), float(interval[at]))
            elif seed == NO_SEED:
                pick = Pick(product, score, reason)
            else:
                pick = Pick(product, score, "session", seed=seed)
            picks.append(pick)
        return picks

    def _popular_picks(self, taken: Rows, excluded: Rows, missing: int) -> list[Pick]:
        """Fill the shelf from the catalogue; short only where the catalogue is."""
        if missing <= 0:
            return []
        reach = self._popular[: missing + len(taken) + len(excluded)]
        left = reach[~np.isin(reach, taken) & ~np.isin(reach, excluded)][:missing]
        scores = self.model.product_static[left].tolist()
        return [
            Pick(product, score, "popular")
            for product, score in zip(left.tolist(), scores, strict=True)
        ]


def _strongest(places: NDArray[np.integer], cosine: Floats, seed_of: Rows, n_places: int) -> Rows:
    """shape (places,): the seed that points most at each place; none where all point down, as a
    return does."""
    order = np.argsort(cosine)
    order = order[cosine[order] > 0]
    seeds = np.full(n_places, NO_SEED, np.int32)
    seeds[places[order]] = seed_of[order]  # of several, the last one stays
    return seeds


_NO_ROWS = np.zeros(0, np.int32)
_NO_FLOATS = np.zeros(0, np.float32)
NO_SEEDS = Seeds(_NO_ROWS, _NO_FLOATS)
