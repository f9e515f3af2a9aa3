"""From a plan that almost keeps the rules to one that keeps them, and from there to better ones.

Compiled. Options are arrays over (row, choice) pairs: `row`, `place` among all choices or -1 for
nothing, `lost` worth against the row's best, `gain`, the value. `now`, shape (rows,), is the option
that each row has; `use`, shape (rules,), what all members use together. Functions change both.
"""

import numpy as np
from numba import njit

from campaigns.allocation.passes import uses

TINY = 1e-9


@njit(cache=True, nogil=True)
def put(place, times, choices, rules, use, weight):  # type: ignore[no-untyped-def]
    """Adds what a choice uses, or takes it back with times -1; returns the change in excess, which
    is what is used beyond the bounds, weighted."""
    if place < 0:
        return 0.0
    _, _, cost, offer = choices
    bound, _, starts, listed, amount = rules
    one = offer[place]
    more = 0.0
    for i in range(starts[one], starts[one + 1]):
        rule = listed[i]
        before = max(use[rule] - bound[rule], 0)
        use[rule] += times * uses(amount[i], cost[place])
        more += weight[rule] * (max(use[rule] - bound[rule], 0) - before)
    return more


@njit(cache=True, nogil=True)
def _swap(old, new, choices, rules, use, weight):  # type: ignore[no-untyped-def]
    return put(old, -1, choices, rules, use, weight) + put(new, 1, choices, rules, use, weight)


@njit(cache=True, nogil=True)
def put_all(places, choices, rules, use, weight):  # type: ignore[no-untyped-def]
    """Adds what all these choices use."""
    for place in places:
        put(place, 1, choices, rules, use, weight)


@njit(cache=True, nogil=True)
def repair(options, now, choices, rules, use, weight):  # type: ignore[no-untyped-def]
    """Takes the moves that lose least worth for the excess they end; returns the excess left."""
    row, place, lost, _ = options
    score = np.empty(len(place))
    while True:
        excess = 0.0
        for rule in range(len(use)):
            excess += weight[rule] * max(use[rule] - rules[0][rule], 0)
        if excess == 0.0:
            return excess
        count = 0
        for at in range(len(place)):
            mine = now[row[at]]
            less = -_swap(place[mine], place[at], choices, rules, use, weight)
            _swap(place[at], place[mine], choices, rules, use, weight)
            score[at] = (lost[at] - lost[mine]) / less if less > 0 else np.inf
            count += less > 0
        if count == 0:
            return excess
        moved = False
        for at in np.argsort(score, kind="mergesort")[:count]:
            mine = now[row[at]]
            less = -_swap(place[mine], place[at], choices, rules, use, weight)
            # What a move ends shrinks as others are taken: then it waits for the next round.
            if less > 0 and (
                not moved or lost[at] - lost[mine] <= less * (1.5 * abs(score[at]) + TINY)
            ):
                now[row[at]], moved = at, True
                excess -= less
                if excess <= TINY:
                    break
            else:
                _swap(place[at], place[mine], choices, rules, use, weight)


@njit(cache=True, nogil=True)
def exchange(options, now, choices, rules, use, price, most_moves, most_rounds):  # type: ignore[no-untyped-def]
    """Single moves, then pairs of moves, that add value and keep the rules, until there is none.

    A plan falls short of the bound by the worth that members lose and by the price of what lies
    idle; so moves that together lose more than the idle is worth need not be tried.
    """
    row, place, lost, gain = options
    ones = np.ones(len(use))
    change = np.empty(len(place))
    for _ in range(most_rounds):
        idle = 0.0
        for rule in range(len(use)):
            idle += price[rule] * (rules[0][rule] - use[rule])
        count = 0
        for at in range(len(place)):
            loss = lost[at] - lost[now[row[at]]]
            candidate = at != now[row[at]] and loss < idle
            change[at] = loss if candidate else np.inf
            count += candidate
        order = np.argsort(change, kind="mergesort")[: min(count, most_moves)]
        better = False
        for first in order:
            old = now[row[first]]
            if first == old:
                continue
            more, loss = gain[first] - gain[old], lost[first] - lost[old]
            excess = _swap(place[old], place[first], choices, rules, use, ones)
            now[row[first]] = first
            if excess <= 0 and more > TINY:
                better = True
                continue
            paired = False
            for second in order:
                if loss + change[second] >= idle:
                    break
                his = now[row[second]]
                if row[second] == row[first] or more + gain[second] - gain[his] <= TINY:
                    continue
                if excess + _swap(place[his], place[second], choices, rules, use, ones) <= 0:
                    now[row[second]], paired = second, True
                    break
                _swap(place[second], place[his], choices, rules, use, ones)
            if paired:
                better = True
            else:
                now[row[first]] = old
                _swap(place[first], place[old], choices, rules, use, ones)
        if not better:
            break


@njit(cache=True, nogil=True)
def shake(options, now, choices, rules, use, price, weight, most_moves, shakes, rng):  # type: ignore[no-untyped-def]
    """Iterated local search: changes up to four rows at random, repairs, exchanges, and keeps what
    is no worse, least excess before most value (Lourenço, Martin and Stützle, 2003)."""
    row, place, _, gain = options
    value, excess = 0.0, np.inf
    for one in now:
        value += gain[one]
    for shaken in range(shakes + 1):
        trial, used = now.copy(), use.copy()
        for _ in range(rng.integers(1, 5) if shaken > 0 else 0):
            at = rng.integers(0, len(place))
            _swap(place[trial[row[at]]], place[at], choices, rules, used, weight)
            trial[row[at]] = at
        left = repair(options, trial, choices, rules, used, weight)
        if left == 0:
            exchange(options, trial, choices, rules, used, price, most_moves, 10)
        new = 0.0
        for one in trial:
            new += gain[one]
        if left < excess or (left == excess and new >= value):
            value, excess = new, left
            now[:], use[:] = trial, used
    return excess


@njit(cache=True, nogil=True)
def fill(rows, choices, most, rules, use, chosen):  # type: ignore[no-untyped-def]
    """Gives rows without a choice the best of positive value that still fits."""
    offsets, value, cost, offer = choices
    bound, _, starts, listed, amount = rules
    ones = np.ones(len(use))
    room = most.copy()  # few offers have any: most choices are done with at a glance
    for one in range(len(room)):
        for i in range(starts[one], starts[one + 1]):
            rule = listed[i]
            left = bound[rule] - use[rule]
            if amount[i] == 0:
                room[one] = min(room[one], left)
            elif amount[i] > max(left, 0):
                room[one] = -1
    for row in rows:
        if chosen[row] >= 0:
            continue
        best = 0.0
        for at in range(offsets[row], offsets[row + 1]):
            if value[at] <= best or cost[at] > room[offer[at]]:
                continue
            if put(at, 1, choices, rules, use, ones) <= 0:
                chosen[row], best = at, value[at]
            put(at, -1, choices, rules, use, ones)
        put(chosen[row], 1, choices, rules, use, ones)


@njit(cache=True, nogil=True)
def standing_in_the_way(rows, choices, tariff, rules, use, price, shut, asked, barrier):  # type: ignore[no-untyped-def]
    """Writes the rule that keeps the best of the `asked` offers from each row; -1 where none of
    them has a positive value. A minimum that is `shut` stands before all limits; of these, the one
    without room comes first, then the one that costs most."""
    offsets, value, cost, offer = choices
    bound, _, starts, listed, amount = rules
    _, money_price, each, _ = tariff
    full, closed = 1e100, 1e200
    for row in rows:
        barrier[row] = -1
        best, place = -np.inf, -1
        for at in range(offsets[row], offsets[row + 1]):
            one = offer[at]
            worth = value[at] - money_price[one] * cost[at] - each[one]
            if asked[one] and value[at] > 0 and worth > best:
                best, place = worth, at
        if place < 0:
            continue
        dearest = -1.0
        one = offer[place]
        for i in range(starts[one], starts[one + 1]):
            rule = listed[i]
            unit = uses(amount[i], cost[place])
            height = unit * price[rule]
            if unit < 0:
                height = closed if shut[rule] else -1.0
            elif use[rule] + unit > bound[rule]:
                height += full
            if height > dearest:
                dearest, barrier[row] = height, rule
