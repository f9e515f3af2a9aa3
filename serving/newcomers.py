"""Products that the shop tells of and the model does not know: rows of their own until one does."""

import json
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from recsys.columns import UNKNOWN, Attribute, Labels
from recsys.model import Model
from serving.feed.news import ProductNews
from serving.tables import Rows

log = logging.getLogger(__name__)

MOST = 10_000
"""rows at a time; to lay them beside 100,000 products takes 60 ms and copies 14 MB"""
MATCHED = 64
"""the latest told, which take turns in the places for new products"""
EACH = 4
"""of these, those that suit one member best"""
_NONE = np.zeros(0, np.int32)

_Column = TypeVar("_Column", bound=NDArray[np.generic])


class Newcomers:
    """Of one model. A product counts once a title was told: of the others only stock and price are
    known, and there is nothing to show."""

    def __init__(self, model: Model) -> None:
        self._written = model
        self._told: dict[str, ProductNews] = {}
        """by id, the latest told last"""
        self._alike: _Alike | None = None

    def hear(self, news: Sequence[ProductNews]) -> bool:
        """Whether rows come, go or say something else now. `news` in the order of telling."""
        changed = False
        for one in news:
            if self._written.products.row(one.product_id) is not None:
                continue
            before = self._told.pop(one.product_id, None)
            if one.title is not None:
                self._told[one.product_id] = one
            changed |= _described(before) != _described(one)
        if len(self._told) > MOST:
            log.warning("over %d products were told of that no model knows: the latest count", MOST)
            for product_id in list(self._told)[:-MOST]:
                del self._told[product_id]
        return changed

    def beside(self, now: Model) -> tuple[Model, Model]:
        """The model as it was written and as it stands now, both with the rows of today."""
        told, known = list(self._told.values()), len(self._written.products)
        written = _grown(self._written, told)
        self._alike = _Alike(written, known) if told else None
        in_stock = [one.in_stock is not False for one in told]
        prices = [np.nan if one.price is None else one.price for one in told]
        return written, replace(
            written,
            sellable=np.concatenate((now.sellable[:known], np.array(in_stock, np.bool_))),
            prices=np.concatenate((now.prices[:known], np.array(prices, np.float64))),
        )

    def matching(self, products: Rows) -> Rows:
        """Those that have most in common with some products, best first; the latest of equals."""
        return _NONE if self._alike is None else self._alike.best(products)


def _described(one: ProductNews | None) -> tuple[object, ...]:
    """What makes a row; stock and price change often, and without one."""
    if one is None or one.title is None:
        return ()
    return one.title, one.category, one.brand, one.regions


def _grown(model: Model, told: Sequence[ProductNews]) -> Model:
    """A model with a row more for each: never ordered, beside nothing, of no group or coupon."""
    many = len(told)
    first = len(model.products)
    rows = np.arange(first, first + many, dtype=np.int32)
    regions = [json.dumps(sorted(set(one.regions))) if one.regions else None for one in told]
    return replace(
        model,
        products=model.products.plus([one.product_id for one in told]),
        near=replace(model.near, offsets=_plus(model.near.offsets, model.near.offsets[-1], many)),
        orders=_plus(model.orders, 0, many),
        titles=model.titles.plus([one.title or "" for one in told]),
        categories=model.categories.plus([one.category for one in told]),
        brands=model.brands.plus([one.brand for one in told]),
        regions=model.regions.plus(regions),
        groups=_plus(model.groups, UNKNOWN, many),
        attributes={name: _unknown(one, many) for name, one in model.attributes.items()},
        prices=_plus(model.prices, np.nan, many),
        # by itself behind everything that anybody bought
        product_static=_plus(model.product_static, model.product_static.min(), many),
        once=None if model.once is None else _usual(model.once, many),
        sellable=_plus(model.sellable, True, many),
        fresh_anybody=np.concatenate((rows[::-1], model.fresh_anybody)),
        scope_offsets=_plus(model.scope_offsets, model.scope_offsets[-1], many),
    )


def _plus(column: _Column, value: object, many: int) -> _Column:
    longer = np.concatenate((column, np.full(many, value, column.dtype)))
    # as what is mapped: the compiled loops are made for read-only arrays, and would be made anew
    longer.setflags(write=False)
    return longer  # type: ignore[return-value]


def _usual(once: NDArray[np.float16], many: int) -> NDArray[np.float16]:
    """Of a product of which nothing is known: what is in the middle of all."""
    middle = np.median(once, axis=1, keepdims=True).astype(np.float16)
    wider = np.hstack((once, np.repeat(middle, many, axis=1)))
    wider.setflags(write=False)
    return wider


def _unknown(attribute: Attribute, many: int) -> Attribute:
    if isinstance(attribute, Labels):
        return attribute.plus([None] * many)
    return _plus(attribute, UNKNOWN if attribute.dtype == np.int8 else np.nan, many)


class _Alike:
    """What the latest told products have in common with others: a point for each level of the
    category path, from the root, and one for the brand."""

    def __init__(self, model: Model, first: int) -> None:
        self._rows = np.arange(first, len(model.products), dtype=np.int32)[::-1][:MATCHED]
        self._categories, self._brands = model.categories.codes, model.brands.codes
        paths = [text.split(" > ") for text in model.categories.texts.all()]
        theirs = self._categories[self._rows]
        self._levels = np.zeros((len(self._rows), len(paths) + 1), np.int32)
        """shape (told, categories + 1): levels shared; the last is an unknown category"""
        for level in range(1, max(map(len, paths), default=0) + 1):
            cut = [" > ".join(path[:level]) if len(path) >= level else None for path in paths]
            codes = Labels.build([*cut, None]).codes
            self._levels += (codes[theirs][:, None] == codes) & (codes >= 0)

    def best(self, products: Rows) -> Rows:
        """See Newcomers.matching."""
        of_category = self._levels[:, self._categories[products]].sum(1)
        brands = self._brands[self._rows][:, None]
        of_brand = ((self._brands[products] == brands) & (brands >= 0)).sum(1)
        order = np.argsort(-(of_category + of_brand), kind="stable")
        return self._rows[order[:EACH]]
