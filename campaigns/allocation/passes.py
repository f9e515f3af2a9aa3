"""The loops over all choices, compiled. A choice's worth is its value less the prices of what it
uses; nothing is always a choice, worth 0.

At a temperature, the heat, members choose softly: each choice with odds exp(worth / heat), so that
what they use changes smoothly with the prices. A row's scratch stays in the processor's cache.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

FAINT = 25.0
"""heats below the best from which a choice no longer counts: exp(-25) is 1e-11"""


class Tariff(NamedTuple):
    """What choices are worth at some prices."""

    weight: float
    """of a choice's value: 1, or 0 where pushes are counted"""
    money: Doubles
    """shape (offers,): for a minor unit of the cost"""
    each: Doubles
    """shape (offers,): for the push"""
    most: NDArray[np.int64]
    """shape (offers,): a dearer choice is barred; -1 bars all"""


@njit(cache=True, nogil=True)
def uses(amount, cost):  # type: ignore[no-untyped-def]
    """What a push uses of a rule: the rule's amount for the offer, or, where that is 0, its cost.
    Of a minimum -1: it is one more."""
    return amount if amount != 0 else cost


@njit(cache=True, nogil=True)
def _weigh(row, choices, tariff, worth):  # type: ignore[no-untyped-def]
    """Writes the worth of a row's choices, -inf where barred, and returns the best, or 0."""
    offsets, value, cost, offer = choices
    weight, money, each, most = tariff
    low, high = offsets[row], offsets[row + 1]
    # On slices and in two loops, which the compiler turns into four times faster code.
    values, costs, ones = value[low:high], cost[low:high], offer[low:high]
    for at in range(high - low):
        one = ones[at]
        gain = weight * values[at] - money[one] * costs[at] - each[one]
        worth[at] = gain if costs[at] <= most[one] else -np.inf
    best = 0.0
    for at in range(high - low):
        best = max(best, worth[at])
    return best


@njit(cache=True, nogil=True)
def _widest(rows, offsets):  # type: ignore[no-untyped-def]
    widest = 0
    for row in rows:
        widest = max(widest, offsets[row + 1] - offsets[row])
    return widest


@njit(cache=True, nogil=True)
def soft(rows, choices, tariff, rules, heat, use, curve):  # type: ignore[no-untyped-def]
    """Sum over rows of heat x log(sum of odds). Adds what they use to `use`, shape (rules,), and
    heat x its slope against the prices to the lower half of `curve`, shape (rules, rules)."""
    offsets, _, cost, offer = choices
    _, _, starts, listed, amount = rules
    worth = np.empty(_widest(rows, offsets))
    mean, seen = np.zeros(len(use)), np.zeros(len(use), np.bool_)
    touched = np.empty(len(use), np.int64)
    total = 0.0
    for row in rows:
        low = offsets[row]
        size = offsets[row + 1] - low
        best = _weigh(row, choices, tariff, worth)
        least = best - FAINT * heat
        odds = np.exp(-best / heat) if least < 0 else 0.0
        several = odds > 0.0
        for at in range(size):
            if worth[at] > least:
                several |= odds > 0.0
                worth[at] = np.exp((worth[at] - best) / heat)
                odds += worth[at]
            else:
                worth[at] = 0.0
        total += best + heat * np.log(odds)
        count = 0
        for at in range(size):
            if worth[at] == 0.0:
                continue
            share, one, price = worth[at] / odds, offer[low + at], cost[low + at]
            for i in range(starts[one], starts[one + 1]):
                rule = listed[i]
                taken = share * uses(amount[i], price)
                use[rule] += taken
                if not several:
                    continue
                if not seen[rule]:
                    touched[count], seen[rule] = rule, True
                    count += 1
                mean[rule] += taken
                for j in range(starts[one], i + 1):
                    curve[rule, listed[j]] += taken * uses(amount[j], price)
        for i in range(count):
            for j in range(i + 1):
                first, second = touched[i], touched[j]
                curve[max(first, second), min(first, second)] -= mean[first] * mean[second]
        for i in range(count):
            mean[touched[i]], seen[touched[i]] = 0.0, False
    return total


@njit(cache=True, nogil=True)
def best_worths(rows, choices, tariff, best):  # type: ignore[no-untyped-def]
    """Writes each row's best worth."""
    worth = np.empty(_widest(rows, choices[0]))
    for row in rows:
        best[row] = _weigh(row, choices, tariff, worth)


@njit(cache=True, nogil=True)
def draw(rows, choices, tariff, heat, lots, chosen):  # type: ignore[no-untyped-def]
    """Writes each row's choice, drawn by its lot at the odds of the heat; -1 for nothing."""
    offsets = choices[0]
    worth = np.empty(_widest(rows, offsets))
    for row in rows:
        low = offsets[row]
        size = offsets[row + 1] - low
        best = _weigh(row, choices, tariff, worth)
        nothing = np.exp(-best / heat)
        odds = nothing
        least = best - FAINT * heat
        for at in range(size):
            worth[at] = np.exp((worth[at] - best) / heat) if worth[at] > least else 0.0
            odds += worth[at]
        left = lots[row] * odds - nothing
        chosen[row] = -1
        for at in range(size):
            if left < 0:
                break
            if worth[at] > 0:
                chosen[row] = low + at
                left -= worth[at]


@njit(cache=True, nogil=True)
def near(rows, choices, tariff, most_lost, kept, row, place, lost):  # type: ignore[no-untyped-def]
    """The options of `rows` that lose at most so much against the row's best, and what they had.

    kept: shape (members,), each row's place so far, which is an option too. Returns how many
    options there are, and writes them where `place` has room: index into rows, place or -1, loss.
    """
    offsets = choices[0]
    worth = np.empty(_widest(rows, offsets))
    count, room = 0, len(place) > 0
    for i in range(len(rows)):
        low = offsets[rows[i]]
        size = offsets[rows[i] + 1] - low
        best = _weigh(rows[i], choices, tariff, worth)
        for at in range(-1, size):
            loss = best - (worth[at] if at >= 0 else 0.0)
            mine = low + at if at >= 0 else -1
            if loss <= most_lost or mine == kept[rows[i]]:
                if room:
                    row[count], place[count], lost[count] = i, mine, loss
                count += 1
    return count


@njit(cache=True, nogil=True)
def survey(rows, choices, step):  # type: ignore[no-untyped-def]
    """Mean and highest cost, mean and highest absolute value of the rows' choices. Writes, for each
    offer, the greatest number that all its costs are multiples of."""
    offsets, value, cost, offer = choices
    count, costs, dearest, values, highest = 0, 0.0, 0, 0.0, 0.0
    for row in rows:
        for at in range(offsets[row], offsets[row + 1]):
            first, second = step[offer[at]], cost[at]
            while second > 0 and first != 1:
                first, second = second, first % second
            if second == 0:
                step[offer[at]] = first
            count += 1
            costs += cost[at]
            dearest = max(dearest, cost[at])
            size = abs(np.float64(value[at]))
            values += size
            highest = max(highest, size)
    return costs / max(count, 1), dearest, values / max(count, 1), highest
