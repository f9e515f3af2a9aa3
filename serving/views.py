"""A model's products under rules: what may be shown, in which order the shelf is filled up, and
which of them are alike."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from recsys.columns import UNKNOWN, Labels
from recsys.features import Floats
from recsys.model import Model
from recsys.search import Matches
from serving.masks import Masks
from serving.rules import NOTHING_ASKED, Asked, AtMost, Rules
from serving.tables import CODES, NO_FLAGS, Limits, Rows, Tables

CLOSENESS = np.array([0, 2, 20], np.float32)
"""added to a logit, by `search.Matches.closeness`: a title with all the words counts as if it were
bought seven times as often, and one that is the text stands before all else"""
KEPT, LEAST_KEPT = 64, 8
"""views that a worker keeps for a model: up to 20 bytes a product each, so"""
KEPT_PRODUCTS = 1_600_000
"""fewer in a large shop: so many products in all, at most 30 MB"""
LIFTED = 256
"""boosted products that compete with a member's own list, the best by themselves"""
_POPULAR, _FRESH, _FOUND = (CODES.index(code) for code in ("popular", "fresh", "found"))


@dataclass(frozen=True, slots=True)
class View:
    """What rules mean for one model."""

    tables: Tables
    """the model's, with the rules"""
    pins: tuple[tuple[int, int], ...]
    """place from 1, and product; by place"""


class Views:
    """Of one model."""

    def __init__(self, model: Model, tables: Tables) -> None:
        self._model = model
        self.masks = Masks(model)
        popular, fresh = np.asarray(model.popular), np.asarray(model.fresh_anybody)
        # too new to be ranked: better than an empty place
        self.catalogue = np.concatenate((popular, fresh[~np.isin(fresh, popular)]))
        """what lists are filled up from, sold out or not, best first"""
        self.ranked = np.zeros(len(model.products), np.bool_)
        """shape (products,): what was ordered often enough to be ranked"""
        self.ranked[popular] = True
        self._listed = self.ranked.copy()
        self._listed[fresh] = True
        alone = np.full(len(model.products), _FOUND, np.uint8)
        alone[fresh] = _FRESH
        alone[popular] = _POPULAR
        self._tables = tables._replace(alone=alone)
        self._found = np.full(len(model.products), _FOUND, np.uint8)
        kept = max(LEAST_KEPT, min(KEPT, KEPT_PRODUCTS // max(1, len(model.products))))
        self._limits = lru_cache(kept)(self._limits_of)
        self.of = lru_cache(kept)(self._of)
        """by rules and what the request asks; FilterError for a bad filter"""

    def _of(self, rules: Rules, asked: Asked = NOTHING_ASKED) -> View:
        barred = self._tables.barred.copy()
        for text in (rules.filter, asked.filter):
            if text is not None:
                barred |= ~self.masks.passing(text)
        if asked.region is not None:
            barred |= ~self.masks.sold_in(asked.region)
        shelf = self.catalogue[~barred[self.catalogue]]
        added = self._added(rules)
        lifted = self._tables.lifted
        buried = NO_FLAGS if rules.bury is None else self.masks.passing(rules.bury)
        if len(added):
            known = self.ranked[shelf]
            static = self._model.product_static[shelf].astype(np.float32) + added[shelf]
            shelf = shelf[np.lexsort((-static, ~known))]
            lifted = shelf[known & (added[shelf] > 0)][:LIFTED]
        tables = self._tables._replace(
            barred=barred,
            added=added,
            lifted=lifted,
            shelf=shelf,
            buried=buried,
            limits=self._limits(rules),
        )
        return View(tables, self._pins(rules))

    def among(self, view: View, rows: Sequence[int]) -> View:
        """Nothing but these products, those that were never ranked last and as they come."""
        tables = view.tables
        given = np.zeros(len(self.ranked), np.bool_)
        given[rows] = True
        barred = tables.barred | ~given
        known = tables.shelf[given[tables.shelf]]
        rest = [row for row in rows if not (self._listed[row] or barred[row])]
        among = tables._replace(
            barred=barred,
            lifted=tables.lifted[given[tables.lifted]],
            shelf=np.concatenate((known, np.array(rest, np.int32))),
        )
        return replace(view, tables=among)

    def matching(self, view: View, matches: Matches) -> View:
        """Nothing but what fits a text, all of it in competition: how close it comes is a boost."""
        rows, tables = matches.products, view.tables
        barred = np.ones(len(self.ranked), np.bool_)
        barred[rows] = tables.barred[rows]
        added = np.zeros(len(self.ranked), np.float32)
        added[rows] = CLOSENESS[matches.closeness]
        if len(tables.added):
            added[rows] += tables.added[rows]
        shelf, static = rows[~barred[rows]], self._model.product_static
        matching = tables._replace(
            alone=self._found,
            barred=barred,
            added=added,
            lifted=rows,
            shelf=shelf[np.argsort(-static[shelf] - added[shelf], kind="stable")],
        )
        return replace(view, tables=matching)

    def _added(self, rules: Rules) -> Floats:
        """shape (products,), or empty without a boost."""
        if not rules.boosts:
            return self._tables.added
        added = np.zeros(len(self.ranked), np.float32)
        for boost in rules.boosts:
            added[self.masks.passing(boost.filter)] += np.float32(boost.logit)
        return added

    def _limits_of(self, rules: Rules) -> Limits:
        codes, most = [], []
        groups = np.asarray(self._model.groups)
        variants = rules.one_variant and bool((np.bincount(groups[groups >= 0]) > 1).any())
        if variants:
            codes.append(groups)
            most.append(1)
        for one in rules.at_most:
            codes.append(self._alike(one))
            most.append(one.most)
        table = np.empty((len(self.ranked), len(codes)), np.int32)
        for place, column in enumerate(codes):
            table[:, place] = column
        room = int(table.max(initial=UNKNOWN)) + 1
        return Limits(table, np.array(most, np.int32), int(variants), room)

    def _alike(self, one: AtMost) -> Rows:
        """shape (products,): equal codes count together, -1 counts with none."""
        if one.of == "brand":
            return np.asarray(self._model.brands.codes)
        categories = self._model.categories
        cut = [" > ".join(path.split(" > ")[: one.level]) for path in categories.texts.all()]
        above = Labels.build([*cut, None]).codes
        codes: Rows = above[categories.codes]
        return codes

    def _pins(self, rules: Rules) -> tuple[tuple[int, int], ...]:
        row_of = self._model.products.row
        named = ((pin.place, row_of(pin.product_id)) for pin in sorted(rules.pins))
        return tuple((place, row) for place, row in named if row is not None)
