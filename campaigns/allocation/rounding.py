"""From prices to a plan: members choose at them, and the few that are undecided are moved until
the plan keeps all rules and no exchange of one or two members makes it better."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from campaigns.allocation.exchange import exchange, fill, put_all, repair, shake
from campaigns.allocation.passes import Tariff, draw, near
from campaigns.allocation.prices import SMALL, Market
from campaigns.allocation.problem import Doubles, Rows, Wide
from campaigns.allocation.rescue import dive

MOST_MOVES = 600
"""moves whose pairs are tried, 600 x 600 at a time"""
QUICK_MOVES = 100
"""likewise after a shake"""
ROUNDS = 10
FEW_ROUNDS = 2
"""of exchanges, where members are so many that the bound is near anyway"""
SHAKES = 40
"""in each of the rounds"""
RESCUES = 200
"""shakes of a plan that no single moves could repair"""
OPTIONS_OF_A_PROGRAM = (2_000, 20_000)
"""tried one after the other where shakes do not help"""
NEAR_ENOUGH = 1e-5
"""relative gap at which small plans are left alone"""


@dataclass(frozen=True, slots=True)
class Settled:
    """A plan that keeps all rules."""

    chosen: Wide
    """shape (members,): place among the choices, -1 for nothing"""
    use: Wide
    """shape (rules,)"""
    value: float


class Options(NamedTuple):
    """What some rows may have instead; see `exchange`."""

    row: Wide
    place: Wide
    lost: Doubles
    gain: Doubles


def settle(market: Market, price: Doubles, lots: Doubles, *, heat: float, bound: float) -> (
    Settled | None
):  # fmt: skip
    """The plan at these prices, or None where no repair was found.

    lots: shape (members,), in [0, 1): draws between choices that are worth the same.
    bound: the dual at these prices.
    """
    choices, rules, rows = market.choices, market.rules, market.rows
    tariff = market.tariff(price)
    chosen = np.full(choices.members, -1, np.int64)
    market.each_row(lambda some: draw(some, choices, tariff, heat, lots, chosen))
    use, weight = np.zeros(len(price), np.int64), _weights(market, price)
    taken = chosen[rows]
    put_all(taken[taken >= 0], choices, rules, use, weight)
    reach, excess = 20 * heat, 1.0
    widest = market.scale.highest + bound
    small = len(rows) <= SMALL
    if small:
        reach = widest
    while True:
        options, now, moving = _options(market, tariff, reach, chosen)
        excess = repair(options, now, choices, rules, use, weight)
        if excess == 0 or reach >= widest:
            break
        chosen[moving] = options.place[now]
        reach *= 4
    if excess > 0:
        if not len(now):
            return None  # nobody can be moved
        rng = np.random.default_rng(len(rows))
        if shake(options, now, choices, rules, use, price, weight, 0, RESCUES, rng) > 0:
            rescued = _rescue(options, now, market, use)
            if rescued is None:
                return None
            now = rescued
    exchange(options, now, choices, rules, use, price, MOST_MOVES, ROUNDS if small else FEW_ROUNDS)
    chosen[moving] = options.place[now]
    fill(rows, choices, market.most, rules, use, chosen)
    if small:
        _polish(market, price, weight, chosen, use, bound=bound)
    return Settled(chosen, use, _value(market, chosen))


def _rescue(options: Options, now: Wide, market: Market, use: Wide) -> Wide | None:
    """Another option for each row, so that all rules are kept; changes `use`."""
    choices, rules = market.choices, market.rules
    used, ones = np.zeros_like(use), np.ones(len(use))
    put_all(options.place[now], choices, rules, used, ones)
    room = np.where((rules.sign > 0) | market.active, rules.bound - (use - used), np.inf)
    nearest = np.sort(options.lost)
    for most in OPTIONS_OF_A_PROGRAM:
        # The best of each row loses nothing, so that none is without an option.
        near = np.flatnonzero(options.lost <= nearest[min(most, len(nearest)) - 1])
        found = dive(
            options.row[near], options.place[near], options.gain[near],
            choices=choices, rules=rules, room=room,
        )  # fmt: skip
        if found is not None:
            use -= used
            put_all(options.place[near[found]], choices, rules, use, ones)
            return near[found]
        if len(near) == len(nearest):
            return None
    return None


def _options(
    market: Market, tariff: Tariff, reach: float, chosen: Wide
) -> tuple[Options, Wide, NDArray[np.int64]]:
    """Options of the rows that have several, what they have now, and which rows they are."""
    choices = market.choices
    none, nothing = np.empty(0, np.int64), np.empty(0)

    def work(some: Rows) -> tuple[Rows, Wide, Doubles]:
        size = near(some, choices, tariff, reach, chosen, none, none, nothing)
        row, place, lost = np.empty(size, np.int64), np.empty(size, np.int64), np.empty(size)
        near(some, choices, tariff, reach, chosen, row, place, lost)
        # Who has one option cannot be moved.
        several = np.bincount(row, minlength=len(some))[row] > 1
        return some[row[several]], place[several], lost[several]

    found = market.each_block(work)
    member, place, lost = (np.concatenate(column) for column in zip(*found, strict=True))
    first = np.r_[True, member[1:] != member[:-1]] if len(member) else np.empty(0, np.bool_)
    gain = np.where(place < 0, 0.0, choices.value[place].astype(np.float64))
    now = np.flatnonzero(place == chosen[member])
    return Options(np.cumsum(first) - 1, place, lost, gain), now, member[first]


def _polish(
    market: Market, price: Doubles, weight: Doubles, chosen: Wide, use: Wide, *, bound: float
) -> None:
    """Shakes a small plan while it is far from the bound. A better one has no member who loses
    more than the whole plan falls short by, so the options become fewer."""
    choices, rules, tariff = market.choices, market.rules, market.tariff(price)
    rng = np.random.default_rng(len(market.rows))
    for _ in range(ROUNDS):
        short = bound - _value(market, chosen)
        if short <= NEAR_ENOUGH * bound:
            return
        options, now, moving = _options(market, tariff, short, chosen)
        if not len(now):
            return
        shake(options, now, choices, rules, use, price, weight, QUICK_MOVES, SHAKES, rng)
        chosen[moving] = options.place[now]


def _weights(market: Market, price: Doubles) -> Doubles:
    """What a unit too much counts in a repair: its price, and a little for those without one."""
    unit = market.rules.mean_used(max(market.scale.cost, 1.0))
    return np.where(market.active, price + 0.01 * market.scale.value / unit, 0)


def _value(market: Market, chosen: Wide) -> float:
    places = chosen[market.rows]
    return float(market.choices.value[places[places >= 0]].sum(dtype=np.float64))
