"""Two groups of subjects that a hash told apart: means, their difference, and the split itself.

A subject is the unit that was drawn, so it is the unit here: its clicks are not independent.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import chdtrc, stdtrit

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
SRM_CHANCE = 0.001
"""A split that is this unlikely was not the one that was meant. The usual threshold: Fabijan et
al., Diagnosing Sample Ratio Mismatch in Online Controlled Experiments, KDD 2019."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and the interval that holds the truth in CONFIDENCE of all samples."""

    value: float
    low: float
    high: float


def mean(values: Floats) -> Estimate:
    """The mean over subjects; needs two of them."""
    return _estimate(float(values.mean()), float(values.var(ddof=1)) / len(values), len(values) - 1)


def difference(before: Floats, after: Floats) -> Estimate:
    """mean(after) − mean(before), by Welch: the groups may differ in size and variance."""
    of_before, of_after = (float(one.var(ddof=1)) / len(one) for one in (before, after))
    error = of_before + of_after
    freedom = 1.0
    if error > 0:
        shares = of_before / error, of_after / error  # their squares do not underflow
        freedom = 1 / (shares[0] ** 2 / (len(before) - 1) + shares[1] ** 2 / (len(after) - 1))
    return _estimate(float(after.mean() - before.mean()), error, freedom)


def _estimate(value: float, error: float, freedom: float) -> Estimate:
    """error: the variance of the value."""
    reach = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error**0.5
    return Estimate(value, value - reach, value + reach)


def split_chance(found: tuple[int, int], meant: tuple[float, float]) -> float:
    """The chance of a split at least as far from the meant ratio (chi-square, one degree)."""
    expected = sum(found) * np.array(meant) / sum(meant)
    return float(chdtrc(1, ((np.array(found) - expected) ** 2 / expected).sum()))
