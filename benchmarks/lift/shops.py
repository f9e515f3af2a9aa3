"""Made shops whose answer to a campaign is known.

Members differ: orders a day are gamma-distributed (shape 0.5: most order seldom, a few all the
time), and the money of an order is a member's own level times chance, both lognormal. A push
multiplies how often its member orders; a share of orders redeems a coupon.
"""

from dataclasses import dataclass

import numpy as np

from campaigns.lift.always import DAYS
from campaigns.lift.moments import Doubles, Moments, moments

LOOKED_BACK = 90
MARGIN, DISCOUNT, COST = 0.25, 2.0, 0.05
COVARIATES = 3


@dataclass(frozen=True, slots=True)
class Kind:
    """What shops are drawn from."""

    clusters: int
    share: float
    """held out"""
    orders: float
    """of a member in a day, mean"""
    tail: float
    """deviation of the logarithm of an order's money, about its member's level"""
    times: float = 1.0
    """so many times as often a pushed member orders; 1 and no cost in a shop without effect"""
    days: int = 7
    """the sending lasts"""


@dataclass(frozen=True, slots=True)
class Shop:
    """Each day's arms, for each of DAYS as they grow: what a look of that day is about."""

    treat: list[list[Moments]]
    """[place in DAYS][day of the sending]: of the clusters that had their slot until then"""
    hold: list[list[Moments]]
    truth: Doubles
    """shape (DAYS, outcomes): what a push changes for a member"""
    planned: tuple[int, int]
    """treated, held out"""


def shop(kind: Kind, rng: np.random.Generator, *, effect: bool) -> Shop:
    """effect: whether a push does what `kind` says, or nothing."""
    held = rng.random(kind.clusters) < kind.share
    pushed = ~held & effect
    rate = rng.gamma(0.5, kind.orders / 0.5, kind.clusters)
    level = np.exp(rng.normal(3.0, 0.7, kind.clusters))

    def money(orders: Doubles) -> Doubles:
        of = np.repeat(np.arange(kind.clusters), orders.astype(np.int64))
        each = level[of] * np.exp(rng.normal(0.0, kind.tail, len(of)))
        return np.bincount(of, each, kind.clusters).astype(np.float64)

    before = rng.poisson(rate * LOOKED_BACK).astype(np.float64)
    spent = money(before)
    known = np.column_stack([before, spent, np.log1p(spent)])
    redeeming = np.where(pushed, 0.2, 0.0 if effect else 0.05)
    answer = np.where(pushed, kind.times, 1.0)
    orders, revenue, redeemed = (np.zeros(kind.clusters) for _ in range(3))
    slot = np.minimum(rng.geometric(0.35, kind.clusters) - 1, kind.days - 1)
    treat, hold = [], []
    for step in np.diff(DAYS, prepend=0):
        more = rng.poisson(rate * answer * step).astype(np.float64)
        orders, revenue = orders + more, revenue + money(more)
        redeemed = redeemed + rng.binomial(more.astype(np.int64), redeeming)
        profit = MARGIN * revenue - DISCOUNT * redeemed - COST * pushed
        rows = np.column_stack([known, redeemed, orders, revenue, profit])
        treat.append(_growing(rows, ~held, slot, kind.days))
        hold.append(_growing(rows, held, slot, kind.days))
    planned = (int((~held).sum()), int(held.sum()))
    return Shop(treat, hold, _truth(kind) if effect else np.zeros((len(DAYS), 4)), planned)


def _growing(rows: Doubles, arm: np.ndarray, slot: np.ndarray, days: int) -> list[Moments]:
    found: list[Moments] = []
    for day in range(days):
        one = moments(rows[arm & (slot == day)])
        found.append(found[-1] + one if found else one)
    return found


def _truth(kind: Kind) -> Doubles:
    through = np.array(DAYS, np.float64)
    pushed, more = kind.orders * kind.times * through, kind.orders * (kind.times - 1) * through
    redeemed = 0.2 * pushed
    revenue = more * np.exp(3.0 + 0.7**2 / 2 + kind.tail**2 / 2)
    profit = MARGIN * revenue - DISCOUNT * redeemed - COST
    return np.column_stack([redeemed, more, revenue, profit])
