"""Which of a model's products pass a filter: found once over the whole catalogue, then kept."""

import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial

import numpy as np
from numpy.typing import NDArray

from recsys.columns import Attribute, Labels
from recsys.filters import Coded, Column, parse
from recsys.model import Model

Mask = NDArray[np.bool_]
KEPT = 64
"""filters that a worker keeps for a model: a byte a product each"""


class Masks:
    """Of one model. Every mask has shape (products,); True passes."""

    def __init__(self, model: Model) -> None:
        self.columns = Columns(model)
        self.passing = lru_cache(KEPT)(self._passing)
        """by a filter's text; FilterError for a bad one"""
        self.sold_in = lru_cache(KEPT)(self._sold_in)
        """by region: what is sold there, or says nothing of where"""

    def _passing(self, text: str) -> Mask:
        return parse(text).mask(self.columns)

    def _sold_in(self, region: str) -> Mask:
        column = self.columns["regions"]
        assert isinstance(column, Coded)
        there = [listed is None or region in listed for listed in column.values.tolist()]
        mask: Mask = np.array(there)[column.codes]
        return mask


class Columns(Mapping[str, Column]):
    """What a filter may ask of products. A column's texts are read when it is asked for."""

    def __init__(self, model: Model) -> None:
        self._read: dict[str, Callable[[], Column]] = {
            "brand": model.brands.coded,
            "category": model.categories.coded,
            "in_stock": lambda: model.sellable,
            "price": lambda: model.prices,
            "regions": partial(_lists, model.regions),
            **{name: partial(_values, one) for name, one in model.attributes.items()},
        }

    def __getitem__(self, name: str) -> Column:
        return self._read[name]()

    def __iter__(self) -> Iterator[str]:
        return iter(self._read)

    def __len__(self) -> int:
        return len(self._read)


def _values(attribute: Attribute) -> Column:
    if isinstance(attribute, Labels):
        return attribute.coded()
    if attribute.dtype == np.int8:
        return Coded(attribute.astype(np.int8), np.array([False, True, None], object))
    return attribute


def _lists(regions: Labels) -> Coded:
    texts = regions.texts.all()
    values = np.empty(len(texts) + 1, object)  # numpy would make a table of equal lengths
    for code, text in enumerate(texts):
        values[code] = tuple(json.loads(text))
    return Coded(regions.codes, values)
