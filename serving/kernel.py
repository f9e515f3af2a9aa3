"""The list of one request, compiled: candidates, their scores, and the best that the rules allow.

All of it is one call: as single numpy operations, or as several calls, most of the time goes into
handing short arrays over. And one file: the compiler's cache does not see a change in another.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from recsys.features import (
    BROWSED,
    DUE_KNOTS,
    KIND_WEIGHTS,
    LEAST_DAYS,
    SEARCHED,
    SESSION_DECAY_DAYS,
    SESSION_SCALE,
    Floats,
)
from recsys.history import PURCHASE
from serving.tables import (
    CODES,
    ITSELF,
    MEMBER,
    NOWHERE,
    PAGE,
    SHELF,
    Doubles,
    Limits,
    Listed,
    Rows,
    Session,
    Tables,
)

NEIGHBOURS_OF_SEED = 24
"""products that one event points at: 20 events bring at most 480 candidates"""
NEIGHBOURS_OF_PAGE = 240
"""products that the page's product, or one of the cart's, points at"""
DECIMALS = 4
_TAKEN = 0
_TOO_MANY = -2
_POWERS = np.ldexp(np.float32(1), np.maximum(np.arange(32), 1) - 25).astype(np.float32)
"""by the exponent of a float16: what its last bit is worth"""
_AGAIN, _POPULAR, _TOGETHER, _SESSION, _SEARCHED, _FRESH = (
    CODES.index(code) for code in ("again", "popular", "together", "session", "searched", "fresh")
)


_inlined = njit(cache=True, inline="always")
"""for what is called for every candidate: a call hands over each array of a table by itself and
counts its references, which takes longer than what is done with it"""


class _Candidates(NamedTuple):
    """What may be shown, as it is gathered. All have shape (candidates,) and room for more."""

    products: Rows
    scores: Floats
    similarity: Floats
    strongest: Rows
    """the entry of the neighbours that points most at each, ITSELF where a search has found it;
    NOWHERE where neither does"""


class _Ranked(NamedTuple):
    """One part of a list."""

    products: Rows
    scores: Floats
    strongest: Rows
    last: Rows
    """shape (base,): the first candidates are base-list entries, and this is the last day
    on which each was bought; 0 for never"""
    start: int
    """of the base list"""
    heap: NDArray[np.int64]
    """shape (allowed,): keys of what may be shown. So many of its last as are `found` are the best,
    the very best at the end; the others stand as a heap, the best of them at the front"""
    found: Rows
    """shape (1,)"""


class _State(NamedTuple):
    """A list while it is chosen."""

    places: Rows
    counts: Rows
    """shape (limits, codes): chosen products that are alike"""
    left_out: Rows
    products: Rows
    part: Rows
    at: Rows
    """position of each chosen product in its part"""
    reach: Rows
    """shape (1,): so much of the shelf was looked at"""
    late: NDArray[np.bool_]
    """shape (products,): what stands last on the shelf; empty where nothing does"""


@njit(cache=True)
def best_list(
    tables: Tables, page: Rows, own: bool, start: int, stop: int, shift: np.float32,
    session: Session, bought: Rows, bought_day: Rows, outside: Rows, pinned: Rows, fresh: Rows,
    turn: int, exploring: float, luck: float, rotated: Rows, fall: np.float32, now: float,
    limit: int,
) -> Listed:  # fmt: skip
    """The first `limit` of page, member and shelf that keep the limits, buried ones behind.

    Where they do not suffice, what was passed over fills the list: first without the limits on
    brands and categories, then without any. Scores are as `features` and `scoring` define them:
    static part + clock + session; those of the page are sums of cosines.

    page: what points at others, by what is bought together. own: whether the member's list and
    session count. start, stop: the base list. shift: what the member's pace adds to a product that
    is not in it. bought: since the model, with whole days. outside: not to be shown. pinned: shown
    elsewhere in the list, and counted. now: days since 1970 UTC.

    The last places go to products too new to be ranked: of all places, the pinned ones among them,
    the share `exploring`, its fraction by `luck` in [0, 1). fresh: which, and below 0 none. turn:
    which of them comes first.

    rotated: what was shown too often. It loses `fall` of its logit, unless it is bought again and
    again; on the shelf it stands last, and as a new product not at all.
    """
    of_page = _rank_page(tables, page, outside, rotated, fall)
    of_member = _rank_member(
        tables, own, start, stop, shift, session, bought, bought_day, outside, rotated, fall, now
    )
    state = _State(
        tables.places,
        np.zeros((len(tables.limits.most), tables.limits.room), np.int32),
        np.zeros(len(tables.limits.most), np.int32),
        np.empty(limit, np.int32),
        np.empty(limit, np.int32),
        np.empty(limit, np.int32),
        np.zeros(1, np.int32),
        _marked(tables, rotated),
    )
    count, within = _choose(tables, state, of_page, of_member, pinned, outside)
    new, chances = fresh[:0], np.empty(0, np.float64)
    if count > 0 and len(fresh):
        share = (count + len(pinned)) * exploring
        sure, places = int(share), int(share + luck)
        new = _new(tables, state, fresh, turn, bought, pinned, count, min(places, count))
        if share > sure:
            less = places > sure  # had luck been otherwise
            places = min(sure if less else sure + 1, count)
            other = _new(tables, state, fresh, turn, bought, pinned, count, places)
            chances = _chances(new, other, share - sure if less else 1 - (share - sure), count)
    _clear(tables, state, of_page, of_member, pinned, outside)
    return _listed(tables, state, of_page, of_member, count, within, new, chances)


@_inlined
def _float(half: np.uint16) -> np.float32:
    """The finite value of a float16's bits. A table of all would push a member's rows out of the
    processor's cache."""
    exponent, bits = (half >> 10) & 31, half & 1023
    value: np.float32 = np.float32(bits + 1024 if exponent else bits) * _POWERS[exponent]
    return -value if half >> 15 else value


@njit(cache=True)
def _marked(tables: Tables, rows: Rows) -> NDArray[np.bool_]:
    """shape (products,), or empty without rows."""
    marks = np.zeros(len(tables.places) if len(rows) else 0, np.bool_)
    for product in rows:
        marks[product] = True
    return marks


@njit(cache=True)
def _rank_page(
    tables: Tables, seeds: Rows, outside: Rows, rotated: Rows, fall: np.float32
) -> _Ranked:
    """By the sum of cosines. A boost, there a logit, multiplies the odds; here the sum."""
    to = _room(len(seeds) * NEIGHBOURS_OF_PAGE)
    weights = np.ones(len(seeds), np.float32)
    itself = np.zeros(len(seeds), np.float32)
    total = _gather(tables, to, 0, seeds, weights, itself, NEIGHBOURS_OF_PAGE)
    for at in range(total):
        to.scores[at] = to.similarity[at]
        if len(tables.added):
            to.scores[at] *= np.exp(tables.added[to.products[at]])
    for product in rotated:
        if tables.places[product] >= 0:
            to.scores[tables.places[product]] *= np.exp(-fall)
    return _ranked(tables, to, total, np.empty(0, np.int32), 0, outside)


@njit(cache=True)
def _rank_member(
    tables: Tables, own: bool, start: int, stop: int, shift: np.float32, session: Session,
    bought: Rows, bought_day: Rows, outside: Rows, rotated: Rows, fall: np.float32, now: float,
) -> _Ranked:  # fmt: skip
    """The member's base list together with what the session points at."""
    base = stop - start if own else 0
    seeds = session.products if own else session.products[:0]
    lifted = tables.lifted if own else tables.lifted[:0]
    to = _room(base + len(seeds) * (NEIGHBOURS_OF_SEED + 1) + len(lifted))
    for at in range(base):
        product = tables.base_products[start + at]
        to.products[at] = product
        tables.places[product] = at
    weights = _session_weights(session, now)
    itself, interested = _interests(tables, seeds, weights, session.kinds)
    total = _gather(tables, to, base, seeds, weights, itself, NEIGHBOURS_OF_SEED)
    for product in lifted:
        if tables.places[product] < 0:
            to.products[total] = product
            tables.places[product] = total
            total += 1
    last = _last_days(tables, start, base, total, bought, bought_day)
    today, leaves = np.float32(now), tables.leaves
    new_near, new_leaf = tables.session[0, 0], tables.session[0, 1]
    repeat_near, repeat_leaf = tables.session[1, 0], tables.session[1, 1]
    for at in range(total):
        product, near, of_leaf = to.products[at], new_near, new_leaf
        if last[at] > 0:
            near, of_leaf = repeat_near, repeat_leaf
            if at < base and (tables.base_last_day[start + at] > 0 or not tables.once.shape[1]):
                score = _float(tables.base_static[start + at])
                interval = _float(tables.base_interval[start + at])
            else:
                score = _float(tables.once[0, product])
                interval = _float(tables.once[1, product])
            score += _clock(tables.curve, today - last[at], interval)
        elif at < base:
            score = _float(tables.base_static[start + at])
        else:
            score = _float(tables.product_static[product]) + shift
        if to.similarity[at] > 0:
            score += near * np.log1p(SESSION_SCALE * to.similarity[at])
        if interested and leaves[product] >= 0:
            score += of_leaf * tables.interest[0, leaves[product]]
        if len(tables.added):
            score += tables.added[product]
        to.scores[at] = score
    _forget_interests(tables, seeds)
    _move_down(tables, to, start, base, rotated, fall)
    return _ranked(tables, to, total, last[:base], start, outside)


@njit(cache=True)
def _move_down(
    tables: Tables, to: _Candidates, start: int, base: int, rotated: Rows, fall: np.float32
) -> None:
    for product in rotated:
        at = tables.places[product]
        if at >= base or (at >= 0 and tables.base_reasons[start + at] != _AGAIN):
            to.scores[at] -= fall


@njit(cache=True)
def _last_days(
    tables: Tables, start: int, base: int, total: int, bought: Rows, bought_day: Rows
) -> Rows:
    """shape (total,): the last day on which each candidate was bought, or 0."""
    last = np.zeros(total, np.int32)
    for at in range(base):
        last[at] = tables.base_last_day[start + at]
    reach = total if tables.once.shape[1] else base
    for at in range(len(bought)):
        place = tables.places[bought[at]]
        if 0 <= place < reach:
            last[place] = bought_day[at]
    return last


@njit(cache=True)
def _session_weights(session: Session, now: float) -> Floats:
    """`features.session_weights`."""
    weights = np.empty(len(session.products), np.float32)
    for at in range(len(weights)):
        age = np.float32(max(now - session.days[at], 0.0))
        weights[at] = KIND_WEIGHTS[session.kinds[at]] * np.exp(
            -age / np.float32(SESSION_DECAY_DAYS)
        )
    return weights


@njit(cache=True)
def _interests(
    tables: Tables, seeds: Rows, weights: Floats, kinds: NDArray[np.uint8]
) -> tuple[Floats, bool]:
    """The feature of `features.session_interest` by category, into the scratch, and whether there
    is any. First what each seed says of itself: what a search has found, as long as nothing of its
    category was bought since."""
    itself, interested = np.zeros(len(seeds), np.float32), False
    for at in range(len(seeds) - 1, -1, -1):
        leaf = tables.leaves[seeds[at]]
        if leaf >= 0 and tables.interest[1, leaf]:
            continue
        if kinds[at] == SEARCHED:
            itself[at] = weights[at]
        if leaf >= 0:
            if BROWSED[kinds[at]]:
                tables.interest[0, leaf] += weights[at]
                interested = True
            tables.interest[1, leaf] = kinds[at] == PURCHASE
    for seed in seeds:
        if tables.leaves[seed] >= 0:
            tables.interest[1, tables.leaves[seed]] = 0
    for seed in seeds:
        leaf = tables.leaves[seed]
        if leaf >= 0 and not tables.interest[1, leaf]:
            tables.interest[0, leaf] = np.log1p(tables.interest[0, leaf])
            tables.interest[1, leaf] = 1
    return itself, interested


@njit(cache=True)
def _forget_interests(tables: Tables, seeds: Rows) -> None:
    for seed in seeds:
        leaf = tables.leaves[seed]
        if leaf >= 0:
            tables.interest[:, leaf] = 0


@njit(cache=True)
def _room(most: int) -> _Candidates:
    return _Candidates(
        np.empty(most, np.int32),
        np.empty(most, np.float32),
        np.zeros(most, np.float32),
        np.full(most, np.int32(NOWHERE)),
    )


@njit(cache=True)
def _gather(
    tables: Tables, to: _Candidates, total: int, seeds: Rows, weights: Floats, itself: Floats,
    most: int,
) -> int:  # fmt: skip
    """Adds the seeds' neighbours to `total` candidates, and the seeds that speak for themselves;
    returns how many there are then."""
    loudest = np.zeros(len(to.products), np.float32)
    for at in range(len(seeds)):
        if itself[at] > 0:
            place = tables.places[seeds[at]]
            if place < 0:
                place = total
                to.products[place] = seeds[at]
                tables.places[seeds[at]] = place
                total += 1
            to.similarity[place] += itself[at]
            if itself[at] > loudest[place]:
                loudest[place] = itself[at]
                to.strongest[place] = ITSELF
        start = tables.near_offsets[seeds[at]]
        for entry in range(start, min(tables.near_offsets[seeds[at] + 1], start + most)):
            product = tables.near_products[entry]
            place = tables.places[product]
            if place < 0:
                place = total
                to.products[place] = product
                tables.places[product] = place
                total += 1
            says = _float(tables.near_cosine[entry]) * weights[at]
            to.similarity[place] += says
            if says > loudest[place]:  # a return points down, and speaks for nothing
                loudest[place] = says
                to.strongest[place] = entry
    return total


@_inlined
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
def _ranked(
    tables: Tables, to: _Candidates, total: int, last: Rows, start: int, outside: Rows
) -> _Ranked:
    """The candidates that may be shown, ready to be taken in order. Clears the scratch."""
    scores = to.scores[:total]
    for product in outside:
        if tables.places[product] >= 0:
            scores[tables.places[product]] = -np.inf
    heap, size, bits = np.empty(total, np.int64), 0, scores.view(np.int32)
    for at in range(total):
        tables.places[to.products[at]] = NOWHERE
        if scores[at] != -np.inf and not tables.barred[to.products[at]]:
            heap[size] = _key(bits[at], at)
            size += 1
    heap = heap[:size]
    for root in range(size // 2 - 1, -1, -1):
        _sift(heap, root, size)
    found = np.zeros(1, np.int32)
    return _Ranked(to.products[:total], scores, to.strongest, last, start, heap, found)


@_inlined
def _key(bits: np.int32, at: int) -> np.int64:
    """Larger for a larger score (bits: those of its float32), and of equals for the first."""
    ordered = np.int64(bits ^ ((bits >> 31) & 0x7FFFFFFF))
    key: np.int64 = (ordered << 32) | (0xFFFFFFFF - at)
    return key


@_inlined
def _best(ranked: _Ranked, place: int) -> int:
    """The position at a place of the order, best first; few of many are ever asked for."""
    heap, size = ranked.heap, len(ranked.heap)
    while ranked.found[0] <= place:
        last = size - 1 - ranked.found[0]
        heap[0], heap[last] = heap[last], heap[0]
        _sift(heap, 0, last)
        ranked.found[0] += 1
    position: int = 0xFFFFFFFF - (heap[size - 1 - place] & 0xFFFFFFFF)
    return position


@_inlined
def _sift(heap: NDArray[np.int64], root: int, size: int) -> None:
    """Let what stands at `root` sink to its place in the heap's first `size`."""
    sinking, at = heap[root], root
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and heap[child + 1] > heap[child]:
            child += 1
        if heap[child] <= sinking:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = sinking


@njit(cache=True)
def _choose(
    tables: Tables, state: _State, page: _Ranked, member: _Ranked, pinned: Rows, outside: Rows
) -> tuple[int, int]:
    """How many were chosen, and how many of them within the limits."""
    limits, limit = tables.limits, len(state.products)
    for product in outside:
        state.places[product] = _TAKEN
    for product in pinned:
        _take(state, limits, product)
    count = _look(tables, state, page, member, len(limits.most), 0)
    within = count
    if count < limit and len(limits.most) > limits.variants:
        count = _look(tables, state, page, member, limits.variants, count)
    if count < limit and limits.variants > 0:
        count = _look(tables, state, page, member, 0, count)
    return count, within


@njit(cache=True)
def _clear(
    tables: Tables, state: _State, page: _Ranked, member: _Ranked, pinned: Rows, outside: Rows
) -> None:
    for part in (page, member):
        for place in range(part.found[0]):
            state.places[part.products[_best(part, place)]] = NOWHERE
    for rows in (tables.shelf[: state.reach[0]], outside, pinned):
        for product in rows:
            state.places[product] = NOWHERE


@njit(cache=True)
def _new(
    tables: Tables, state: _State, fresh: Rows, turn: int, bought: Rows, pinned: Rows, count: int,
    places: int,
) -> Rows:  # fmt: skip
    """New products that keep every limit beside what they leave in the list."""
    limits, new = tables.limits, np.empty(places, np.int32)
    while places > 0:
        state.counts[:] = 0
        if len(limits.most):
            for product in pinned:
                _count(state, limits, product)
            for product in state.products[: count - places]:
                _count(state, limits, product)
        found = 0
        for step in range(len(fresh)):
            product = fresh[(step + turn) % len(fresh)]
            if found == places:
                break
            if product < 0 or state.places[product] == _TAKEN or tables.barred[product]:
                continue
            if (len(tables.buried) and tables.buried[product]) or (bought == product).any():
                continue
            if len(state.late) and state.late[product]:
                continue
            if _against(state, limits, product, len(limits.most)) == NOWHERE:
                _count(state, limits, product)
                new[found] = product
                found += 1
        if found == places:
            break
        places = found  # fewer would bring back products that count as well
    return new[:places]


@njit(cache=True)
def _chances(new: Rows, other: Rows, chance: float, count: int) -> Doubles:
    """shape (count,): that each product stands in the list; 1 for what the other outcome of the
    draw has, too."""
    chances = np.ones(count, np.float64)
    kept = count - len(new)
    for at in range(count - len(other), kept):
        chances[at] = chance
    for place in range(len(new)):
        if not (other == new[place]).any():
            chances[kept + place] = chance
    return chances


@njit(cache=True)
def _look(
    tables: Tables, state: _State, page: _Ranked, member: _Ranked, firm: int, count: int
) -> int:
    """One look through everything under the first `firm` limits: how many are chosen then."""
    limit = len(state.products)
    for behind in range(2 if len(tables.buried) else 1):
        for part in (PAGE, MEMBER):
            ranked = page if part == PAGE else member
            for place in range(len(ranked.heap)):
                if count == limit:
                    return count
                at = _best(ranked, place)
                count = _consider(tables, state, ranked.products[at], part, at, behind, firm, count)
        for last in range(2 if len(state.late) else 1):
            for at in range(len(tables.shelf)):
                if count == limit:
                    return count
                product = tables.shelf[at]
                if len(state.late) and state.late[product] != (last == 1):
                    continue
                state.reach[0] = max(state.reach[0], at + 1)
                count = _consider(tables, state, product, SHELF, at, behind, firm, count)
    return count


@_inlined
def _consider(
    tables: Tables, state: _State, product: int, part: int, at: int, behind: int, firm: int,
    count: int,
) -> int:  # fmt: skip
    if state.places[product] == _TAKEN:
        return count
    if len(tables.buried) and tables.buried[product] != (behind == 1):
        return count
    against = _against(state, tables.limits, product, firm)
    if against == NOWHERE:
        _take(state, tables.limits, product)
        state.products[count], state.part[count], state.at[count] = product, part, at
        return count + 1
    if state.places[product] == NOWHERE:
        state.places[product] = _TOO_MANY  # it stands on the shelf again: count it once
        state.left_out[against] += 1
    return count


@_inlined
def _take(state: _State, limits: Limits, product: int) -> None:
    state.places[product] = _TAKEN
    _count(state, limits, product)


@_inlined
def _count(state: _State, limits: Limits, product: int) -> None:
    for one in range(len(limits.most)):
        code = limits.codes[product, one]
        if code >= 0:
            state.counts[one, code] += 1


@_inlined
def _against(state: _State, limits: Limits, product: int, firm: int) -> int:
    """The first limit that one more of this product would break; NOWHERE if none."""
    for one in range(firm):
        code = limits.codes[product, one]
        if code >= 0 and state.counts[one, code] >= limits.most[one]:
            return one
    return NOWHERE


@njit(cache=True)
def _listed(
    tables: Tables, state: _State, page: _Ranked, member: _Ranked, count: int, within: int,
    new: Rows, chances: Doubles,
) -> Listed:  # fmt: skip
    facts = np.zeros((6, count), np.int32)
    scores = np.empty(count, np.float64)
    for rank in range(count):
        product, part, at = state.products[rank], state.part[rank], state.at[rank]
        fact = facts[:, rank]
        fact[0], fact[1], fact[2] = product, part, NOWHERE
        if part == SHELF:
            scores[rank] = _float(tables.product_static[product])
            if len(tables.added):
                scores[rank] += tables.added[product]
            fact[3] = tables.alone[product]
            continue
        ranked = page if part == PAGE else member
        scores[rank] = ranked.scores[at]
        fact[2], fact[3] = ranked.strongest[at], _TOGETHER
        if part == MEMBER:
            _why(tables, ranked, at, fact)
    for place in range(len(new)):  # with the score of what they push out
        fact = facts[:, count - len(new) + place]
        fact[0], fact[2], fact[3], fact[4], fact[5] = new[place], NOWHERE, _FRESH, 0, 0
    scores = np.round(scores, DECIMALS, np.empty(count))
    return Listed(facts, scores, state.left_out, within, len(new), chances)


@_inlined
def _why(tables: Tables, ranked: _Ranked, at: int, fact: Rows) -> None:
    """What the session points at says so, unless the member buys it again and again; other products
    of the base list carry their reason there, and the catalogue speaks for the rest."""
    code = _POPULAR
    if at < len(ranked.last):
        entry = ranked.start + at
        code = tables.base_reasons[entry]
    if code == _POPULAR:
        code = tables.alone[fact[0]]
    if code == _AGAIN:
        fact[4] = ranked.last[at]
        fact[5] = np.rint(_float(tables.base_interval[entry]))
    elif fact[2] == ITSELF:
        code = _SEARCHED
    elif fact[2] != NOWHERE:
        code = _SESSION
    if fact[2] == ITSELF:
        fact[2] = NOWHERE
    fact[3] = code
