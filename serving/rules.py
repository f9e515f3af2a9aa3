"""What a placement and a request allow and prefer, as data that can be looked up again."""

from dataclasses import dataclass
from typing import Literal, NamedTuple


class AtMost(NamedTuple):
    """So many products of one brand, or of one category path cut to `level` levels."""

    of: Literal["brand", "category"]
    most: int
    level: int = 1
    """of a category path, from the root"""


class Boost(NamedTuple):
    """What is added to the logit of the products that pass a filter."""

    filter: str
    logit: float


class Pin(NamedTuple):
    """A product at a place, from 1."""

    place: int
    product_id: str


@dataclass(frozen=True, slots=True)
class Rules:
    """Of a placement. Filters are in the grammar of `recsys.filters`."""

    filter: str | None = None
    one_variant: bool = True
    at_most: tuple[AtMost, ...] = ()
    boosts: tuple[Boost, ...] = ()
    bury: str | None = None
    """what passes this filter stands behind everything else"""
    pins: tuple[Pin, ...] = ()


class Asked(NamedTuple):
    """Of one request, beside ids."""

    filter: str | None = None
    region: str | None = None
    """products that are sold elsewhere alone are left out"""


NOTHING_ASKED = Asked()
