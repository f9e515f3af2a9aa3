"""What the compiled loops of a request read, and what they give back."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.features import Floats
from recsys.scoring import REASON_CODES

Rows = NDArray[np.int32]
Doubles = NDArray[np.float64]
Halves = NDArray[np.uint16]
"""float16 as its bits, which the compiler does not know otherwise"""

NOWHERE = -1
ITSELF = -2
"""in place of an entry of the neighbours: a search has found the product"""
PAGE, MEMBER, SHELF = 0, 1, 2
"""the parts of a list: what the page points at, the member's own, the catalogue"""
CODES = (*REASON_CODES, "session", "searched", "fresh", "found", "pinned")
"""why a product stands in a list; a model knows the first of them"""


class Limits(NamedTuple):
    """How many products that are alike one list may hold."""

    codes: NDArray[np.int32]
    """shape (products, limits): equal codes are alike, -1 is like none"""
    most: Rows
    """shape (limits,)"""
    variants: int
    """the first so many are given up after the others: two variants of one product look worse
    than a third product of a brand"""
    room: int
    """codes are less than this"""


class Tables(NamedTuple):
    """A model under rules."""

    base_products: Rows
    base_static: Halves
    base_last_day: NDArray[np.uint16]
    base_interval: Halves
    base_reasons: NDArray[np.uint8]
    """the five: of all members' base lists, one behind the other"""
    near_offsets: NDArray[np.int64]
    near_products: Rows
    near_cosine: Halves
    product_static: Halves
    once: Halves
    """see Model.once; shape (2, 0) in a model without: there it stays new"""
    leaves: Rows
    """shape (products,): code of the category, -1 where unknown"""
    alone: NDArray[np.uint8]
    """shape (products,): index into CODES, where nothing but the catalogue speaks for it"""
    curve: Floats
    """weight of the age, weight of the interval, then a value at each of DUE_KNOTS"""
    session: Floats
    """shape (2, len(features.SESSION)): weights for new products, and for repeats"""
    interest: Floats
    """shape (2, categories): scratch; what the session says of each, and whether it is settled.
    0 all over between two calls"""
    places: Rows
    """shape (products,): scratch; where a product stands among the candidates. NOWHERE all over
    between two calls"""
    barred: NDArray[np.bool_]
    """shape (products,): what is out of stock or against the rules"""
    added: Floats
    """shape (products,): boosts, logits; empty where there are none"""
    lifted: Rows
    """boosted products that compete, whether anything points at them or not"""
    shelf: Rows
    """everything that may be shown, as a list is filled up from it"""
    buried: NDArray[np.bool_]
    """shape (products,): what stands behind the rest; empty where nothing does"""
    limits: Limits


class Session(NamedTuple):
    """A member's latest events with a product, oldest first. Each has shape (events,)."""

    products: Rows
    days: Doubles
    """since 1970 UTC"""
    kinds: NDArray[np.uint8]
    """index into features.KIND_WEIGHTS"""


class Listed(NamedTuple):
    """A list, best first."""

    facts: Rows
    """shape (6, products): product; part; the entry of the neighbours that points most at it, or
    NOWHERE; index into CODES; last day it was bought and its interval in days, 0 for never"""
    scores: Doubles
    """shape (products,), rounded: they order one answer"""
    left_out: Rows
    """shape (limits,): products that each limit passed over until the list was full"""
    within: int
    """so many keep every limit; the rest was chosen because nothing else was left"""
    new: int
    """so many of the last places then went to new products; part and score are of what was there"""
    chances: Doubles
    """shape (products,): that each stands there; empty where nothing was drawn"""


NO_ROWS = np.zeros(0, np.int32)
NO_FLAGS = np.zeros(0, np.bool_)
NO_SESSION = Session(NO_ROWS, np.zeros(0, np.float64), np.zeros(0, np.uint8))
