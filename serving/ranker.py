"""One model made ready to answer: which products, at which score, for which reason."""

from collections.abc import Sequence
from dataclasses import dataclass
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
from serving.kernel import NOWHERE, Entries, Found, Halves, Rows, Tables
from serving.picks import Pick
from serving.reasons import Reasons

NEIGHBOURS_OF_SEED = 24
"""products that one event points at: 20 events bring at most 480 candidates"""
STRANGER = slice(0, 0)
KNOWN_ROWS = 50_000
"""products whose row a worker remembers: about 10 MB"""
_AGAIN = REASON_CODES.index("again")
_NO_ROWS = np.zeros(0, np.int32)


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
        self.reasons = Reasons(model)
        self.product_row = lru_cache(KNOWN_ROWS)(model.products.row)
        """a product's row, or None; hot products cost one look-up in a dict"""
        self.product_id = lru_cache(KNOWN_ROWS)(model.products.text)
        base, sellable = model.base, np.asarray(model.sellable)
        self._popular = np.asarray(model.popular)[sellable[model.popular]]
        self._base = Entries(
            base.products,
            _bits(base.static),
            base.last_day,
            _bits(base.interval),
            base.reasons,
        )
        self._tables = _tables(model)
        self.home(None, NO_SEEDS, bought=(), excluded=_NO_ROWS, limit=1, now=0)  # compiles
        self.together(NO_SEEDS, excluded=_NO_ROWS, limit=1)

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
        entries = self.entries(member)
        bought_rows, bought_days = _columns(bought)
        found = kernel.best_of_all(
            self._tables,
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
        picks = self._picks(found)
        return picks + self._popular_picks(found.products, excluded, limit - len(picks))

    def with_new(
        self, picks: list[Pick], member: int | None, *, who: str, hidden: set[int], today: int
    ) -> list[Pick]:
        """The list with its last places given to products too new to be ranked: of all places the
        model's share, on each day to other members."""
        model = self.model
        choice = model.fresh_anybody if member is None else model.fresh[member]
        if not len(choice) or not picks:
            return picks
        places = floor(len(picks) * model.exploring + unit_interval(f"new {today}", who))
        taken = {pick.product for pick in picks} | hidden
        turned = np.roll(choice, -today).tolist()
        free = [row for row in turned if row >= 0 and row not in taken and model.sellable[row]]
        new = free[:places]
        kept = picks[: len(picks) - len(new)]
        lost = picks[len(kept) :]
        return kept + [Pick(row, pick.score, "fresh") for row, pick in zip(new, lost, strict=True)]

    def together(self, seeds: Seeds, *, excluded: Rows, limit: int) -> list[Pick]:
        """What is bought together with the seeds, by the sum of cosines; it may run out."""
        found = kernel.best_together(
            self._tables,
            seeds.products,
            seeds.weights,
            10 * NEIGHBOURS_OF_SEED,
            excluded,
            limit,
        )
        return [
            Pick(product, score, "together", seed=seed, entry=entry)
            for product, score, seed, entry in zip(
                found.products.tolist(), found.scores.tolist(), self._seeds(found),
                found.entries.tolist(), strict=True,
            )
        ]  # fmt: skip

    def entries(self, member: int | None) -> slice:
        """The member's rows of the base lists."""
        if member is None:
            return STRANGER
        offsets = self.model.base.offsets
        return slice(int(offsets[member]), int(offsets[member + 1]))

    def _picks(self, found: Found) -> list[Pick]:
        """What the session points at says so, unless the member buys it again and again; other
        products of the base list carry their reason there, and the rest is popular."""
        picks = []
        columns = (column.tolist() for column in found)
        for seed, facts in zip(self._seeds(found), zip(*columns, strict=True), strict=True):
            product, score, entry, code, last_day, every_days = facts
            if code == _AGAIN:
                pick = Pick(product, score, "again", last_day, every_days)
            elif entry == NOWHERE:
                pick = Pick(product, score, REASON_CODES[code])
            else:
                pick = Pick(product, score, "session", seed=seed, entry=entry)
            picks.append(pick)
        return picks

    def _seeds(self, found: Found) -> list[int]:
        """Whose the entries are; without meaning where there is none."""
        offsets = self._tables.near_offsets
        seeds: list[int] = (np.searchsorted(offsets, found.entries, side="right") - 1).tolist()
        return seeds

    def _popular_picks(self, taken: Rows, excluded: Rows, missing: int) -> list[Pick]:
        """Fill the shelf from the catalogue; short only where the catalogue is."""
        if missing <= 0:
            return []
        reach = self._popular[: missing + len(taken) + len(excluded)]
        left = reach[~np.isin(reach, taken) & ~np.isin(reach, excluded)][:missing]
        scores = self.model.product_static[left].astype(np.float64).round(kernel.DECIMALS).tolist()
        return [
            Pick(product, score, "popular")
            for product, score in zip(left.tolist(), scores, strict=True)
        ]


def _tables(model: Model) -> Tables:
    clock, blend = model.clock, model.blend
    return Tables(
        near_offsets=model.near.offsets,
        near_products=model.near.products,
        near_cosine=_bits(model.near.cosine),
        product_static=_bits(model.product_static),
        out_of_stock=~np.asarray(model.sellable),
        curve=np.array([clock.of_age, clock.of_interval, *clock.at_knots], np.float32),
        session_repeat=blend.repeat.part(features.SESSION)[0],
        session_new=blend.new.part(features.SESSION)[0],
        places=np.full(len(model.products), NOWHERE, np.int32),
    )


def _bits(mapped: NDArray[np.float16]) -> Halves:
    return mapped.view(np.uint16)


def _columns(bought: Sequence[tuple[int, int]]) -> tuple[Rows, Rows]:
    if not bought:
        return _NO_ROWS, _NO_ROWS
    rows, days = zip(*bought, strict=True)
    return np.array(rows, np.int32), np.array(days, np.int32)
