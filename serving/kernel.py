"""The inner loops of a request, compiled: one pass over a few hundred candidates.

As single numpy operations they take some forty calls on short arrays, six times as long.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recsys.features import DUE_KNOTS, LEAST_DAYS, SESSION_SCALE, Floats
from recsys.scoring import REASON_CODES

Rows = NDArray[np.int32]
Doubles = NDArray[np.float64]
Halves = NDArray[np.uint16]
"""float16 as its bits, which the compiler does not know otherwise"""

NOWHERE = -1
DECIMALS = 4
_FLOAT_OF = np.arange(1 << 16, dtype=np.uint16).view(np.float16).astype(np.float32)
_POPULAR = np.uint8(REASON_CODES.index("popular"))
_TOGETHER = np.uint8(REASON_CODES.index("together"))


class Tables(NamedTuple):
    """What the loops read of a model."""

    near_offsets: NDArray[np.int64]
    near_products: Rows
    near_cosine: Halves
    product_static: Halves
    barred: NDArray[np.bool_]
    """shape (products,): what is out of stock or against the rules"""
    added: Floats
    """shape (products,): boosts, logits; empty where there are none"""
    lifted: Rows
    """boosted products that compete, whether anything points at them or not"""
    curve: Floats
    """weight of the age, weight of the interval, then a value at each of DUE_KNOTS"""
    session_repeat: np.float32
    session_new: np.float32
    places: Rows
    """shape (products,): scratch; where a product stands among the candidates. NOWHERE all over
    between two calls"""


class Entries(NamedTuple):
    """A member's part of the base lists."""

    products: Rows
    static: Halves
    last_day: NDArray[np.uint16]
    interval: Halves
    reasons: NDArray[np.uint8]

    def part(self, rows: slice) -> "Entries":
        """Some of them."""
        return Entries(
            self.products[rows],
            self.static[rows],
            self.last_day[rows],
            self.interval[rows],
            self.reasons[rows],
        )


class Candidates(NamedTuple):
    """What may be shown, as it is gathered."""

    products: Rows
    similarity: Floats
    strongest: Rows
    """the entry of the neighbours that points most at each; NOWHERE where none does"""


class Found(NamedTuple):
    """The best candidates, best first. Every array has shape (found,)."""

    products: Rows
    scores: Doubles
    """rounded: they order one answer"""
    entries: Rows
    """the entry of the neighbours that points most at each; NOWHERE where none does"""
    reasons: NDArray[np.uint8]
    """index into scoring.REASON_CODES"""
    last_day: Rows
    """0 for a product never bought"""
    every_days: Rows
    """its interval, rounded; 0 for a product never bought"""


@njit(cache=True)
def best_of_all(
    tables: Tables, own: Entries, bought: Rows, bought_day: Rows, seeds: Rows, weights: Floats,
    most: int, shift: np.float32, excluded: Rows, now: np.float32, limit: int,
) -> Found:  # fmt: skip
    """The member's own list together with what the seeds point at.

    most: neighbours of one seed. shift: what the member's pace adds to a product that is not in
    the list. Scores as `features` and `scoring` define them: static part + clock + session.
    """
    n_own = len(own.products)
    candidates = _room(n_own + len(seeds) * most + len(tables.lifted))
    products = candidates.products
    last = np.zeros(len(products), np.int32)
    for at in range(n_own):
        products[at] = own.products[at]
        last[at] = own.last_day[at]
        tables.places[products[at]] = at
    for at in range(len(bought)):
        place = tables.places[bought[at]]
        if place >= 0:
            last[place] = bought_day[at]
    total = _gather(tables, candidates, n_own, seeds, weights, most)
    for product in tables.lifted:
        if tables.places[product] < 0:
            products[total] = product
            tables.places[product] = total
            total += 1
    scores = np.empty(total, np.float32)
    for at in range(total):
        weight = tables.session_new
        if at >= n_own:
            score = _FLOAT_OF[tables.product_static[products[at]]] + shift
        else:
            score = _FLOAT_OF[own.static[at]]
            if last[at] > 0:
                weight = tables.session_repeat
                score += _clock(tables.curve, now - last[at], _FLOAT_OF[own.interval[at]])
        scores[at] = score + weight * np.log1p(
            SESSION_SCALE * max(candidates.similarity[at], np.float32(0))
        )
        if len(tables.added):
            scores[at] += tables.added[products[at]]
    chosen = _top(tables, products[:total], scores, excluded, limit)
    reasons = np.full(len(chosen), _POPULAR)
    every = np.zeros(len(chosen), np.int32)
    for rank, at in enumerate(chosen):
        if at < n_own:
            reasons[rank] = own.reasons[at]
            every[rank] = np.int32(np.rint(_FLOAT_OF[own.interval[at]]))
    entries = candidates.strongest[chosen]
    return Found(products[chosen], _rounded(scores[chosen]), entries, reasons, last[chosen], every)


@njit(cache=True)
def best_together(
    tables: Tables, seeds: Rows, weights: Floats, most: int, excluded: Rows, limit: int
) -> Found:
    """What the seeds point at, by the sum of cosines. A boost, there a logit, multiplies the odds;
    here it multiplies the sum."""
    candidates = _room(len(seeds) * most)
    total = _gather(tables, candidates, 0, seeds, weights, most)
    products, scores = candidates.products[:total], candidates.similarity[:total]
    if len(tables.added):
        for at in range(total):
            scores[at] *= np.exp(tables.added[products[at]])
    chosen = _top(tables, products, scores, excluded, limit)
    never = np.zeros(len(chosen), np.int32)
    reasons = np.full(len(chosen), _TOGETHER)
    entries = candidates.strongest[chosen]
    return Found(products[chosen], _rounded(scores[chosen]), entries, reasons, never, never)


@njit(cache=True)
def _rounded(scores: Floats) -> Doubles:
    places = np.empty(len(scores), np.float64)
    return np.round(scores, DECIMALS, places)


@njit(cache=True)
def _room(most: int) -> Candidates:
    return Candidates(
        np.empty(most, np.int32),
        np.zeros(most, np.float32),
        np.full(most, np.int32(NOWHERE)),
    )


@njit(cache=True)
def _gather(
    tables: Tables, to: Candidates, total: int, seeds: Rows, weights: Floats, most: int
) -> int:
    """Adds the seeds' neighbours to `total` candidates; returns how many there are then."""
    loudest = np.zeros(len(to.products), np.float32)
    for at in range(len(seeds)):
        start = tables.near_offsets[seeds[at]]
        for entry in range(start, min(tables.near_offsets[seeds[at] + 1], start + most)):
            product = tables.near_products[entry]
            place = tables.places[product]
            if place < 0:
                place = total
                to.products[place] = product
                tables.places[product] = place
                total += 1
            says = _FLOAT_OF[tables.near_cosine[entry]] * weights[at]
            to.similarity[place] += says
            if says > loudest[place]:  # a return points down, and speaks for nothing
                loudest[place] = says
                to.strongest[place] = entry
    return total


@njit(cache=True)
def _clock(curve: Floats, age: np.float32, interval: np.float32) -> np.float32:
    """`scoring.ClockCurve.logits` of one pair."""
    age, interval = max(age, LEAST_DAYS), max(interval, LEAST_DAYS)
    due = np.log2(age / interval)
    at_knots = curve[2:]
    if due <= DUE_KNOTS[0]:
        value = at_knots[0]
    elif due >= DUE_KNOTS[-1]:
        value = at_knots[-1]
    else:
        right = 1
        while DUE_KNOTS[right] <= due:
            right += 1
        left = right - 1
        part = (due - DUE_KNOTS[left]) / (DUE_KNOTS[right] - DUE_KNOTS[left])
        value = at_knots[left] * (1 - part) + at_knots[right] * part
    return np.float32(curve[0] * np.log1p(age) + curve[1] * np.log(interval) + value)


@njit(cache=True)
def _top(tables: Tables, products: Rows, scores: Floats, excluded: Rows, limit: int) -> Rows:
    """Positions of the best that may be shown; of equals the first. Clears the scratch space."""
    for product in excluded:
        if tables.places[product] >= 0:
            scores[tables.places[product]] = -np.inf
    for product in products:
        tables.places[product] = NOWHERE
    best = np.empty(limit, np.int32)
    count = 0
    for at in range(len(products)):
        score = scores[at]
        if tables.barred[products[at]] or score == -np.inf:
            continue
        if count == limit and score <= scores[best[limit - 1]]:
            continue
        count = min(count + 1, limit)
        place = count - 1
        while place > 0 and scores[best[place - 1]] < score:
            best[place] = best[place - 1]
            place -= 1
        best[place] = at
    return best[:count]
