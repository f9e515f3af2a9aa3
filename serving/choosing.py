"""Which of the ranked products make the list when some of them are too much alike, compiled."""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from serving.kernel import NOWHERE, Rows

PAGE, MEMBER, SHELF = 0, 1, 2
_TAKEN = 0
_TOO_MANY = -2


class Limits(NamedTuple):
    """How many products that are alike one list may hold."""

    codes: NDArray[np.int32]
    """shape (limits, products): equal codes are alike, -1 is like none"""
    most: Rows
    """shape (limits,)"""
    variants: int
    """the first so many are given up after the others: two variants of one product look worse
    than a third product of a brand"""
    room: int
    """codes are less than this"""


class Chosen(NamedTuple):
    """A list, in order. The first two have shape (chosen,)."""

    part: Rows
    """PAGE, MEMBER or SHELF"""
    at: Rows
    """position in that part"""
    left_out: Rows
    """shape (limits,): products that each limit passed over until the list was full"""
    within: int
    """so many of the chosen keep every limit; the rest is there because nothing else was"""


@njit(cache=True)
def choose(
    places: Rows, parts: tuple[Rows, Rows, Rows], buried: NDArray[np.bool_], limits: Limits,
    outside: Rows, pinned: Rows, limit: int,
) -> Chosen:  # fmt: skip
    """The first `limit` of page, member and shelf that keep the limits, buried ones behind.

    Where they do not suffice, what was passed over fills the list: first without the limits on
    brands and categories, then without any. outside: not to be shown. pinned: shown elsewhere in
    the list, and counted. places: scratch, NOWHERE all over between two calls.
    """
    state = _State(
        places,
        np.zeros((len(limits.most), limits.room), np.int32),
        np.zeros(len(limits.most), np.int32),
        np.empty(limit, np.int32),
        np.empty(limit, np.int32),
        np.zeros(1, np.int32),
    )
    for product in outside:
        places[product] = _TAKEN
    for product in pinned:
        _take(state, limits, product)
    count = _look(state, parts, buried, limits, len(limits.most), 0)
    within = count
    if count < limit:
        count = _look(state, parts, buried, limits, limits.variants, count)
    if count < limit:
        count = _look(state, parts, buried, limits, 0, count)
    page, member, shelf = parts
    for rows in (page, member, shelf[: state.reach[0]], outside, pinned):
        for product in rows:
            places[product] = NOWHERE
    return Chosen(state.part[:count], state.at[:count], state.left_out, within)


class _State(NamedTuple):
    places: Rows
    counts: NDArray[np.int32]
    """shape (limits, codes): chosen products that are alike"""
    left_out: Rows
    part: Rows
    at: Rows
    reach: Rows
    """shape (1,): so much of the shelf was looked at"""


@njit(cache=True)
def _look(
    state: _State, parts: tuple[Rows, Rows, Rows], buried: NDArray[np.bool_], limits: Limits,
    firm: int, count: int,
) -> int:  # fmt: skip
    """One look through everything under the first `firm` limits: how many are chosen then."""
    for behind in range(2 if len(buried) else 1):
        for part in range(3):
            rows = parts[part]
            for at in range(len(rows)):
                if count == len(state.part):
                    return count
                product = rows[at]
                if part == SHELF:
                    state.reach[0] = max(state.reach[0], at + 1)
                if state.places[product] == _TAKEN:
                    continue
                if len(buried) and buried[product] != (behind == 1):
                    continue
                against = _against(state, limits, product, firm)
                if against == NOWHERE:
                    _take(state, limits, product)
                    state.part[count], state.at[count] = part, at
                    count += 1
                elif state.places[product] == NOWHERE:
                    state.places[product] = _TOO_MANY  # it stands on the shelf again: count it once
                    state.left_out[against] += 1
    return count


@njit(cache=True)
def _take(state: _State, limits: Limits, product: int) -> None:
    state.places[product] = _TAKEN
    for one in range(len(limits.most)):
        code = limits.codes[one, product]
        if code >= 0:
            state.counts[one, code] += 1


@njit(cache=True)
def _against(state: _State, limits: Limits, product: int, firm: int) -> int:
    """The first limit that one more of this product would break; NOWHERE if none."""
    for one in range(firm):
        code = limits.codes[one, product]
        if code >= 0 and state.counts[one, code] >= limits.most[one]:
            return one
    return NOWHERE
