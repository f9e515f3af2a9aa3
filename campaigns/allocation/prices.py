"""The rules' prices at which members, each choosing for themselves, use just what there is.

They minimise the Lagrangian dual, which no plan's value exceeds at any prices: Fisher, "The
Lagrangian relaxation method" (1981). While members choose softly and rules are barriers the dual is
smooth: damped Newton steps follow its minimum as it cools.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from campaigns.allocation.passes import Tariff, best_worths, soft
from campaigns.allocation.problem import Choices, Doubles, Rows, Rules, Scale, Wide

BLOCKS = 32
"""rows are summed in so many blocks on any machine: the last bits of a sum are the same"""
SMALL = 8192
"""rows that are not worth a thread, and that a first guess of the prices is made from"""
COOLING = 3.0
MOST_STEPS = 30
"""at one heat"""
MOST_CHANGE = 20.0
"""of a price in one step, as a factor"""
CAUTION = 4.0
"""by how much the damping rises where a step disappoints, and falls where it does not
(Levenberg and Marquardt)"""
ENOUGH = 0.03
"""heats, for each rule, that another step may still bring: the barrier itself costs one"""
ENOUGH_OF_MANY = 1.0
"""likewise where members are so many that the bound is near anyway"""
ON_THE_WAY = 4.0
"""likewise where it cools further"""

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Market:
    """Members who choose at prices, and the rules that have a price."""

    choices: Choices
    rules: Rules
    rows: Rows
    active: NDArray[np.bool_]
    """shape (rules,): the others' prices are 0"""
    most: Wide
    """as in Tariff"""
    scale: Scale
    threads: ThreadPoolExecutor
    part: float = 1.0
    """the rows' part of what the rules share out"""
    weight: float = 1.0
    bonus: Doubles | float = 0.0
    """shape (offers,): added to a choice's worth"""

    def tariff(self, price: Doubles) -> Tariff:
        """price: shape (rules,)."""
        money, each = self.rules.prices(price)
        return Tariff(self.weight, money, each - self.bonus, self.most)

    def sample(self, most: int) -> "Market":
        """Every so manieth row, at most about `most`."""
        step = max(1, -(-len(self.rows) // most))
        rows = self.rows[::step]
        return replace(self, rows=rows, part=self.part * len(rows) / max(len(self.rows), 1))

    def each_block(self, work: Callable[[Rows], Result]) -> list[Result]:
        """In order."""
        return self._spread(work, self.rows)

    def each_row(self, work: Callable[[Rows], None]) -> None:
        """For work on each row by itself: in the order of memory, which is twice as fast."""
        self._spread(work, np.sort(self.rows))

    def _spread(self, work: Callable[[Rows], Result], rows: Rows) -> list[Result]:
        if len(rows) <= SMALL:
            return [work(rows)]
        return list(self.threads.map(work, np.array_split(rows, BLOCKS)))

    def soft(self, price: Doubles, heat: float) -> tuple[float, Doubles, Doubles]:
        """The smooth dual less its barrier, its slope and its curvature in the prices."""
        size, tariff = len(price), self.tariff(price)

        def work(rows: Rows) -> tuple[float, Doubles, Doubles]:
            use, curve = np.zeros(size), np.zeros((size, size))
            total = soft(rows, self.choices, tariff, self.rules, heat, use, curve)
            return total, use, curve

        total, use, curve = 0.0, np.zeros(size), np.zeros((size, size))
        for some, used, curved in self.each_block(work):
            total += some
            use += used
            curve += curved
        bound = self.rules.bound * self.part
        curve = (curve + np.tril(curve, -1).T) / heat
        return total + float(price[self.active] @ bound[self.active]), bound - use, curve

    def bound(self, price: Doubles) -> float:
        """The dual: no plan that keeps the active rules is worth more."""
        best = np.zeros(self.choices.members)
        tariff = self.tariff(price)
        self.each_row(lambda rows: best_worths(rows, self.choices, tariff, best))
        shared = price[self.active] * self.rules.bound[self.active] * self.part
        gains = best[self.rows]
        # Sums and products round: by far less than this.
        slip = 1e-12 * (np.abs(shared).sum() + gains.sum())
        return float(shared.sum() + gains.sum() + slip)


def anneal(
    market: Market, price: Doubles, *, gain: float, heat: float, last: float, floor: float
) -> Doubles:
    """Prices, shape (rules,), that are best at heat `last`, from those at `heat`.

    gain: what a member is worth where nothing has a price; the scale of all prices. Returns early
    once the dual is below `floor`: then no plan of these rows reaches it.
    """
    on = np.flatnonzero(market.active)
    price = np.where(market.active, price, 0.0)
    if not len(on) or not len(market.rows):
        return price
    bent = _stiffness(market, gain)[on]
    last_enough = ENOUGH if len(market.rows) <= SMALL else ENOUGH_OF_MANY
    idle, damping = np.zeros(len(on)), 1.0
    while True:
        dual, slope, curve = market.soft(price, heat)
        enough = (last_enough if heat <= last else ON_THE_WAY) * heat * len(on)
        for _ in range(MOST_STEPS):
            if dual < floor:
                return price
            paid = price[on]
            down = slope[on] - heat / paid
            # Primal-dual: by what really lies idle, a price too high falls to heat / idle at once.
            newton = curve[np.ix_(on, on)] + np.diag(np.maximum(heat / paid, idle) / paid)
            if down @ _solve(newton, down) < 2 * enough:
                break
            height = dual - heat * np.log(paid).sum()
            while damping < 1e6:
                trial = price.copy()
                step = _solve(newton + np.diag(damping * bent), down)
                trial[on] = np.clip(paid - step, paid / MOST_CHANGE, paid * MOST_CHANGE)
                moved = trial[on] - paid
                promised = -float(down @ moved + moved @ newton @ moved / 2)
                new = market.soft(trial, heat)
                fallen = height - (new[0] - heat * np.log(trial[on]).sum())
                if fallen > 0.1 * max(promised, 0.0):
                    break
                damping *= CAUTION
            else:
                damping = 1.0
                break
            if fallen > 0.75 * promised:
                damping = max(damping / CAUTION, 0.01)
            price, (dual, slope, curve) = trial, new
            idle = np.maximum(slope[on], 0.0)
            if fallen < enough:
                break
        if heat <= last:
            return price
        heat = max(heat / COOLING, last)


def _stiffness(market: Market, gain: float) -> Doubles:
    """shape (rules,): the curvature if a price as high as `gain` moved all that a rule allows."""
    rules = market.rules
    unit = rules.mean_used(max(market.scale.cost, 1.0))
    return np.maximum(np.abs(rules.bound) * market.part, 1.0) * unit / gain


def _solve(bent: Doubles, side: Doubles) -> Doubles:
    """Scaled, since money is priced by the minor unit and pushes by the piece."""
    scale = 1 / np.sqrt(np.diag(bent))
    ridge = 1e-12 * np.eye(len(side))
    solved = np.linalg.solve(bent * np.outer(scale, scale) + ridge, scale * side)
    return np.asarray(scale * solved, np.float64)
