"""What pushes come to: sums over a plan's rows, and how far luck and assumptions may move them.

Money is in the shop's currency. Of a push, p is the chance of redemption, d the discount, c the
cost and v the expected value, so that a redemption gains g = (v + c) / p on average.
"""

from dataclasses import dataclass
from math import inf, sqrt

import numpy as np
import polars as pl
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

NORMAL = 1.959964
"""standard deviations within which 95 % of a normal distribution lie"""


@dataclass(frozen=True, slots=True)
class Span:
    """An expected sum, and where it ends up in 95 of 100 cases."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Sums:
    """Of some pushes together."""

    pushes: int
    cost: float
    value: Span
    redemptions: Span
    discount: Span
    """what redemptions take off orders"""
    most_off: float
    """if every coupon is redeemed, without those of `unlimited`"""
    unlimited: int
    """pushes with a coupon that nothing limits: a share of whatever is ordered"""


@dataclass(frozen=True, slots=True)
class Pushes:
    """Columns of a plan's rows that are pushes; each of shape (pushes,)."""

    value: Doubles
    cost: Doubles
    chance: Doubles
    discount: Doubles
    most_off: Doubles
    """NaN where nothing limits it"""

    @property
    def gain(self) -> Doubles:
        """Of a redemption: what it leaves after the discount; 0 where there is no chance of one."""
        sure = np.where(self.chance > 0, self.chance, 1.0)
        return np.where(self.chance > 0, (self.value + self.cost) / sure, 0.0)


def pushes_of(rows: pl.DataFrame, minor_units: int) -> Pushes:
    """Of rows in a plan's columns."""
    rows = rows.filter(pl.col("decision") == "push")

    def column(name: str) -> Doubles:
        return rows[name].cast(pl.Float64).fill_null(np.nan).to_numpy().astype(np.float64)

    return Pushes(
        column("expected_value"),
        column("cost") / minor_units,
        column("probability"),
        column("discount"),
        column("most_off") / minor_units,
    )


def joined(parts: list[Pushes]) -> Pushes:
    """All of them."""
    names = ("value", "cost", "chance", "discount", "most_off")
    return Pushes(
        *(np.concatenate([np.empty(0), *(getattr(one, name) for one in parts)]) for name in names)
    )


def sums(of: Pushes) -> Sums:
    """Each redemption is taken as independent of the others. The limits of a sum are those of the
    normal distribution, within what is possible at all: nobody redeems, or everybody does."""
    cost = float(of.cost.sum())
    return Sums(
        len(of.value),
        cost,
        _span(of.gain, of.chance, float(of.value.sum()), -cost),
        _span(np.ones(len(of.chance)), of.chance, float(of.chance.sum()), 0.0),
        _span(of.discount, of.chance, float((of.chance * of.discount).sum()), 0.0),
        float(np.nansum(of.most_off)),
        int(np.isnan(of.most_off).sum()),
    )


def _span(each: Doubles, chance: Doubles, mean: float, fixed: float) -> Span:
    """each: what a redemption adds; fixed: what is there without any."""
    wide = NORMAL * sqrt(float((chance * (1 - chance) * each**2).sum()))
    least, most = float(np.minimum(each, 0).sum()) + fixed, float(np.maximum(each, 0).sum()) + fixed
    return Span(mean, min(mean, max(mean - wide, least)), max(mean, min(mean + wide, most)))


def value_if(of: Pushes, *, rate: float = 1.0, share: float = 1.0) -> float:
    """Expected value if so many times as many redeem, and so many times the share of their orders
    would not have been placed otherwise."""
    chance = np.minimum(of.chance * rate, 1.0)
    earned = share * (of.gain + of.discount) - of.discount
    return float((chance * earned - of.cost).sum())


def even_share(of: Pushes) -> float:
    """How many times the assumed share earns just nothing; inf where none does."""
    taken = of.chance * of.discount
    earned = float((of.value + of.cost + taken).sum())
    return float((taken + of.cost).sum()) / earned if earned > 0 else inf
