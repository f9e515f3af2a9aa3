"""What pushes come to: sums over a plan's rows, and how far luck and assumptions may move them.

Money is in the shop's currency. Of a push, p is the chance of redemption, d the discount, c the
cost and v the expected value, so that a redemption gains g = (v + c) / p on average.
"""

from dataclasses import dataclass
from math import inf

import numpy as np
import polars as pl
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

DRAWS = 1000
"""times that luck is tried"""
_CHUNK = 4096
"""pushes at a time: 16 MB"""


@dataclass(frozen=True, slots=True)
class Span:
    """An expected sum, and where it ends up in the middle 95 of 100 cases."""

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


def luck(of: Pushes, rng: np.random.Generator) -> Doubles:
    """Value, redemptions and discount in a thousand cases, each member redeeming or not,
    independently of the others: shape (DRAWS, 3)."""
    each = np.column_stack([of.gain, np.ones(len(of.gain)), of.discount]).astype(np.float32)
    found = np.zeros((DRAWS, 3))
    for start in range(0, len(each), _CHUNK):
        some = slice(start, start + _CHUNK)
        chance = of.chance[some].astype(np.float32)
        hits = rng.random((DRAWS, len(chance)), np.float32) < chance
        found += hits.astype(np.float32) @ each[some]
    found[:, 0] -= of.cost.sum()
    return found


def sums(of: Pushes, drawn: Doubles) -> Sums:
    """drawn: see `luck`; the spans are the middle 95 % of it, and always hold the mean."""
    means = (of.value.sum(), of.chance.sum(), (of.chance * of.discount).sum())
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    value, redemptions, discount = (
        Span(float(mean), float(min(mean, least)), float(max(mean, most)))
        for mean, least, most in zip(means, low, high, strict=True)
    )
    return Sums(
        len(of.value),
        float(of.cost.sum()),
        value,
        redemptions,
        discount,
        float(np.nansum(of.most_off)),
        int(np.isnan(of.most_off).sum()),
    )


def value_if(of: Pushes, *, rate: float = 1.0, share: float = 1.0) -> float:
    """Expected value if so many times as many redeem, and so many times the share of their orders
    would not have been placed otherwise."""
    chance = np.minimum(of.chance * rate, 1.0)
    earned = share * (of.gain + of.discount) - of.discount
    return float((chance * earned - of.cost).sum())


def even_share(of: Pushes) -> float:
    """How many times the assumed or measured share earns just nothing; inf where none does."""
    taken = of.chance * of.discount
    earned = float((of.value + of.cost + taken).sum())
    return float((taken + of.cost).sum()) / earned if earned > 0 else inf
