"""Intervals that hold however often one looks.

Robbins & Siegmund 1970: Brownian motion leaves ±sqrt(s (a² + log(s / m))) at any s from m on with
the chance 2 (1 - Φ(a) + a φ(a)). Means approach it, so the intervals are asymptotic confidence
sequences from m on (Waudby-Smith et al., arXiv 2103.06476; Waudby-Smith & Ramdas, arXiv
2311.03343).
"""

from functools import cache
from math import log

import numpy as np
from scipy.optimize import brentq
from scipy.stats import norm

from campaigns.lift.difference import Difference, difference, size_of
from campaigns.lift.moments import Doubles, Moments

DAYS = (1, 3, 7, 14, 28)
"""after the slot, through which outcomes add up"""
OUTCOMES = ("redemptions", "orders", "revenue", "profit")
LEVEL = 0.95
"""chance that all intervals of a campaign or occasion hold: all outcomes, all days, all looks"""
SPENT = (1 / 6, 1 / 6, 1 / 6, 1 / 2)
"""what each outcome may use of the chance that one does not: half is for what matters most"""

# Measured, both: `benchmarks.lift.run`, in docs/quality.md
LEAST_CLUSTERS = 100
"""in each arm; fewer tell nothing"""
LEAST_SPENDERS = 50
"""of the treated, see `spenders`: an outcome that hangs on fewer is not told"""


@cache
def _at_start(chance: float) -> float:
    found: float = brentq(lambda a: 2 * (norm.sf(a) + a * norm.pdf(a)) - chance, 0.0, 40.0)
    return found


def start_of(treated: int, held_out: int) -> float:
    """The size from which on a day is shown: half of what was planned at first. It is known before
    any outcome is, and a boundary that begins where it is used is the narrowest."""
    return max(size_of(treated, held_out) / 2, size_of(LEAST_CLUSTERS, LEAST_CLUSTERS))


def reach(size: float, start: float) -> Doubles:
    """Standard errors to each side of the estimates, from the start on; shape (OUTCOMES,)."""
    chances = [(1 - LEVEL) * share / len(DAYS) for share in SPENT]
    edges = np.array([_at_start(chance) for chance in chances])
    return np.sqrt(edges**2 + log(size / start))


def enough(treat: Moments, hold: Moments, start: float) -> bool:
    """Whether there are clusters enough to show anything of a day."""
    counts = (treat.count, hold.count)
    return min(counts) >= LEAST_CLUSTERS and size_of(*counts) >= start


def spenders(arm: Moments, covariates: int) -> Doubles:
    """How many clusters, all alike, would make each outcome as uneven as it is: (Σ y)² / Σ y².

    Kish's effective number; shape (OUTCOMES,). Profit, which may cancel out, hangs on the revenue.
    """
    sums, squares = arm.total[covariates:] ** 2, np.diag(arm.cross)[covariates:]
    redemptions, orders, revenue, _ = sums / np.where(squares > 0, squares, np.inf)
    return np.array([redemptions, orders, revenue, revenue])


def estimated(
    treat: Moments, hold: Moments, *, start: float, covariates: int
) -> tuple[Difference, Doubles]:
    """Of one day: the difference, and how far to each side of it the truth may lie; inf where that
    hangs on too few. Columns: what was known before, then OUTCOMES; there must be `enough`."""
    found = difference(treat, hold, covariates=covariates)
    wide = found.error * reach(found.size, start)
    return found, np.where(spenders(treat, covariates) >= LEAST_SPENDERS, wide, np.inf)
