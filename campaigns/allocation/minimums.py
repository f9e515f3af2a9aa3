"""Which campaigns run, where one runs with at least so many pushes or not at all.

Branch and bound: a node has decided some minimums and does not ask for the others, so its dual
bounds all that may still be decided. Few campaigns have a minimum; most nodes end by their bound.
"""

import heapq
from dataclasses import dataclass, field, replace
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from campaigns.allocation.passes import best_worths
from campaigns.allocation.prices import SMALL, Market, anneal
from campaigns.allocation.problem import MOST_COST, Doubles, Rules, Wide
from campaigns.allocation.rounding import NEAR_ENOUGH, Settled, settle

FREE, RUNS, CLOSED = 0, 1, -1
MOST_NODES = 200
"""what is left open after so many counts in the bound"""
LARGE_ENOUGH = 1e-4
"""relative gap at which large plans do not try whether a minimum runs against its price's advice"""


class Decided(NamedTuple):
    """The best plan found, and what no plan is above."""

    settled: Settled
    bound: float
    market: Market
    price: Doubles
    heat: float
    runs: NDArray[np.bool_]
    """shape (minimums,)"""


@dataclass(order=True, slots=True)
class _Node:
    less: float
    """minus the bound: the most promising comes first"""
    number: int
    state: tuple[int, ...] = field(compare=False)
    """for each minimum FREE, RUNS or CLOSED"""
    price: Doubles = field(compare=False)
    fine: bool = field(compare=False)
    """whether all members were asked for the price, or a sample"""


def ceilings(rules: Rules, closed: NDArray[np.bool_]) -> Wide:
    """shape (offers,): the highest cost that any limit allows, -1 where one allows no push or a
    minimum is `closed`, shape (rules,)."""
    bound = rules.bound[rules.rules]
    most = np.where(rules.amount == 0, np.minimum(bound, MOST_COST), MOST_COST)
    most[closed[rules.rules] | (rules.amount > np.maximum(bound, 0))] = -1
    highest = np.full(len(rules.offsets) - 1, MOST_COST, np.int64)
    np.minimum.at(highest, rules.offer, most)
    return highest


def mean_gain(market: Market) -> float:
    """What a member is worth on average where nothing has a price: the scale of all heats."""
    best = np.zeros(market.choices.members)
    tariff = market.tariff(np.zeros(len(market.rules.bound)))
    market.each_row(lambda rows: best_worths(rows, market.choices, tariff, best))
    return float(best[market.rows].mean()) if len(market.rows) else 0.0


def last_heat(rows: int) -> float:
    """Part of the mean gain: cold enough for a gap of about 1e-5 where the rows are many."""
    return 1e-5 if rows <= SMALL else 5e-4


def known_to(rows: int) -> float:
    """Part of the mean gain that prices from a sample of so many members are true to."""
    return 1 / sqrt(rows)


def rough_prices(market: Market, gain: float, *, floor: float) -> Doubles:
    """Prices from two samples of the members; of all where they are few."""
    price = np.zeros(len(market.rules.bound))
    heat = gain
    for most in (SMALL // 8, SMALL) if len(market.rows) > SMALL else (SMALL,):
        sample = market.sample(most)
        if not price.any():
            price = gain / np.maximum(np.abs(market.rules.bound) * sample.part, 1.0)
        whole = len(sample.rows) == len(market.rows)
        last = gain * (last_heat(len(sample.rows)) if whole else known_to(len(sample.rows)))
        price = anneal(sample, price, gain=gain, heat=heat, last=last, floor=floor * sample.part)
        heat = last
    return price


def fine_prices(market: Market, price: Doubles, gain: float, *, floor: float) -> Doubles:
    """From a sample's prices to those of all members, by way of larger samples."""
    heat = gain * known_to(SMALL)
    for most in (4 * SMALL, 16 * SMALL):
        sample = market.sample(most)
        if len(sample.rows) < len(market.rows):
            last = gain * known_to(len(sample.rows))
            price = anneal(sample, price, gain=gain, heat=heat, last=last, floor=-np.inf)
            heat = last
    last = gain * last_heat(len(market.rows))
    return anneal(market, price, gain=gain, heat=heat, last=last, floor=floor)


def decide(market: Market, lots: Doubles, *, possible: NDArray[np.bool_]) -> Decided:
    """The best plan over all combinations of campaigns that run.

    market: `active` says which limits have a price; no minimum is among them. lots: see `settle`.
    possible: shape (minimums,), those that can be reached at all.
    """
    size, gain = len(market.rules.bound), mean_gain(market)
    heat = max(gain, 1e-300) * last_heat(len(market.rows))
    nobody = Settled(np.full(market.choices.members, -1, np.int64), np.zeros(size, np.int64), 0.0)
    best = Decided(nobody, 0.0, market, np.zeros(size), heat, np.zeros(len(possible), np.bool_))
    if gain <= 0:
        return best
    search = _Search(market, gain, heat, lots, best)
    search.add(tuple(np.where(possible, FREE, CLOSED).tolist()))
    while search.nodes and search.nodes[0].number < MOST_NODES:
        node = heapq.heappop(search.nodes)
        if search.far(-node.less, NEAR_ENOUGH):
            search.look(node)
        else:  # and so are the others
            search.over = max(search.over, -node.less)
            search.nodes.clear()
    over = max(search.over, *(-node.less for node in search.nodes), search.best.settled.value)
    return search.best._replace(bound=over)


@dataclass(slots=True)
class _Search:
    """The nodes that are open, and what was found so far."""

    market: Market
    gain: float
    heat: float
    lots: Doubles
    best: Decided
    over: float = 0.0
    """what the nodes that are done with may hide"""
    nodes: list[_Node] = field(default_factory=list)
    added: int = 0

    @property
    def small(self) -> bool:
        return len(self.market.rows) <= SMALL

    def far(self, bound: float, enough: float) -> bool:
        """Whether something better may hide below the bound."""
        return bound - self.best.settled.value > enough * bound

    def where(self, state: tuple[int, ...]) -> Market:
        """The market in which some campaigns run or are closed."""
        rules = self.market.rules
        decided = np.zeros(len(rules.bound), np.int64)
        decided[rules.sign < 0] = state
        most = ceilings(rules, decided == CLOSED)
        return replace(self.market, active=self.market.active | (decided == RUNS), most=most)

    def add(self, state: tuple[int, ...]) -> None:
        part = self.where(state)
        price = rough_prices(part, self.gain, floor=self.best.settled.value)
        node = _Node(-part.bound(price), self.added, state, price, self.small)
        heapq.heappush(self.nodes, node)
        self.added += 1

    def split(self, state: tuple[int, ...], at: int) -> None:
        for choice in (RUNS, CLOSED):
            self.add((*state[:at], choice, *state[at + 1 :]))

    def look(self, node: _Node) -> None:
        """Decides a minimum that would be reached in part, or makes a plan."""
        part, rules = self.where(node.state), self.market.rules
        sample = part if node.fine else part.sample(SMALL)
        heat = self.heat if node.fine else self.gain * known_to(len(sample.rows))
        _, slope, _ = sample.soft(node.price, heat)
        least = -rules.bound[rules.sign < 0]
        pushes = slope[rules.sign < 0] / sample.part + least
        free = np.array(node.state) == FREE
        # A sample's number may be above the minimum by chance: three standard deviations.
        chance = 0.0 if node.fine else 3 * np.sqrt(np.maximum(pushes, 0) / sample.part)
        torn = np.flatnonzero(free & (pushes > 0.5) & (pushes < least - 0.5 + chance))
        if len(torn):
            self.split(node.state, int(torn[0]))
        elif not node.fine:
            price = fine_prices(part, node.price, self.gain, floor=self.best.settled.value)
            less = max(node.less, -part.bound(price))
            heapq.heappush(self.nodes, replace(node, less=less, price=price, fine=True))
        else:
            state = np.where(free, np.where(pushes > 0.5, RUNS, CLOSED), node.state)
            self.plan(node, state)
            # The price's advice on what runs may be wrong where campaigns are small.
            if free.any() and self.far(-node.less, NEAR_ENOUGH if self.small else LARGE_ENOUGH):
                self.split(node.state, int(free.argmax()))
            else:
                self.over = max(self.over, -node.less)

    def plan(self, node: _Node, state: NDArray[np.int64]) -> None:
        """Settles at a node's prices, and keeps what is better than all before."""
        part = self.where(tuple(state.tolist()))
        settled = settle(part, node.price, self.lots, heat=self.heat, bound=-node.less)
        if settled is not None and settled.value > self.best.settled.value:
            self.best = Decided(settled, 0.0, part, node.price, self.heat, state == RUNS)
