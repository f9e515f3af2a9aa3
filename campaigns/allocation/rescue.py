"""A plan that keeps all rules where no single moves lead to one: by linear programs, diving.

A limit that leaves just room for a minimum asks for chains of moves. The program over the options
has few rows in parts, at most as many as rules bind; one after the other is rounded.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import csr_matrix

from campaigns.allocation.exchange import put_all
from campaigns.allocation.problem import Choices, Doubles, Rules, Wide

MOST_PROGRAMS = 200
WHOLE = 1e-6


def dive(
    row: Wide, place: Wide, gain: Doubles, *, choices: Choices, rules: Rules, room: Doubles
) -> Wide | None:
    """An option for each row, as `now` in `exchange`; None where none is found.

    row, place, gain: see `exchange`; room: shape (rules,), what these rows may use, inf for a rule
    that does not hold.
    """
    once, using = _programs(row, place, choices, rules)
    holds = np.isfinite(room)
    using = using[holds]
    high = np.ones(len(row))
    tried: tuple[int, NDArray[np.int64]] | None = None  # the option that the last step took
    for _ in range(MOST_PROGRAMS):
        found = linprog(
            -gain, A_ub=using, b_ub=room[holds], A_eq=once, b_eq=np.ones(once.shape[0]),
            bounds=np.column_stack([np.zeros(len(row)), high]), method="highs",
        )  # fmt: skip
        if found.x is None:
            if tried is None:
                return None
            option, others = tried  # it leads nowhere: any but that one
            high[others], high[option], tried = 1.0, 0.0, None
            continue
        broken = np.flatnonzero((found.x > WHOLE) & (found.x < 1 - WHOLE))
        if not len(broken):
            now = np.flatnonzero(found.x > 0.5)
            use = np.zeros(len(room), np.int64)
            put_all(place[now], choices, rules, use, np.ones(len(use)))
            return now if (use <= room).all() else None
        option = int(broken[found.x[broken].argmax()])
        others = np.flatnonzero((row == row[option]) & (high > 0))
        others = others[others != option]
        high[others], tried = 0.0, (option, others)
    return None


def _programs(
    row: Wide, place: Wide, choices: Choices, rules: Rules
) -> tuple[csr_matrix, csr_matrix]:
    """One option for each row; what each option uses of each rule."""
    at = np.arange(len(row))
    once = csr_matrix((np.ones(len(row)), (row, at)))
    some = at[place >= 0]
    offer, cost = choices.offer[place[some]], choices.cost[place[some]]
    starts, stops = rules.offsets[offer], rules.offsets[offer + np.uint32(1)]
    counts = stops - starts
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    entry = np.repeat(starts, counts) + within
    rule, amount = rules.rules[entry], rules.amount[entry]
    used = np.where(amount == 0, np.repeat(cost, counts), amount)
    using = csr_matrix((used, (rule, np.repeat(some, counts))), (len(rules.bound), len(row)))
    return once, using
