"""The difference between the arms, less what was known of them before (CUPED).

Deng et al. 2013, "Improving the sensitivity of online controlled experiments by utilizing
pre-experiment data". The slopes are those within the arms, common to both: with few held out,
slopes of their own would be noise.
"""

from dataclasses import dataclass

import numpy as np

from campaigns.lift.moments import Doubles, Moments


@dataclass(frozen=True, slots=True)
class Difference:
    """Treated less held out, for each outcome; each of shape (outcomes,)."""

    effect: Doubles
    error: Doubles
    """standard error"""
    plain_error: Doubles
    """what it would be without the covariates"""
    treated: Doubles
    """mean"""
    held_out: Doubles
    """what the treated would have come to without the campaign: their mean less the effect"""
    size: float
    """of two arms of n and m, nm / (n + m): what precision grows with"""


def size_of(treated: int, held_out: int) -> float:
    """See `Difference.size`; 0 where an arm is empty."""
    return treated * held_out / max(treated + held_out, 1)


def difference(treat: Moments, hold: Moments, *, covariates: int) -> Difference:
    """The first `covariates` columns were known before; each arm has two clusters at least.

    An arm's variance is taken to be no smaller than that of both together: by chance few held out
    hold no big spender, and both their mean and its error would come out too small.
    """
    slopes = _slopes(treat.scatter + hold.scatter, covariates)
    raw = treat.mean - hold.mean
    adjusted = raw[covariates:] - raw[:covariates] @ slopes
    mean = treat.mean[covariates:]
    return Difference(
        adjusted,
        _error(treat, hold, slopes, covariates),
        _error(treat, hold, np.zeros_like(slopes), covariates),
        mean,
        mean - adjusted,
        size_of(treat.count, hold.count),
    )


def _slopes(within: Doubles, covariates: int) -> Doubles:
    """shape (covariates, outcomes); 0 for what does not vary."""
    spread = np.diag(within)[:covariates]
    scale = np.sqrt(np.where(spread > 0, spread, np.inf)).astype(np.float64)
    of_scale = within[:covariates, :covariates] / np.outer(scale, scale)
    towards = within[:covariates, covariates:] / scale[:, None]
    slopes = np.linalg.lstsq(of_scale, towards, rcond=1e-9)[0] / scale[:, None]
    return slopes.astype(np.float64)


def _error(treat: Moments, hold: Moments, slopes: Doubles, covariates: int) -> Doubles:
    one, other = (_variance(arm, slopes, covariates) for arm in (treat, hold))
    both = (treat.count * one + hold.count * other) / (treat.count + hold.count)
    squared = np.maximum(one, both) / treat.count + np.maximum(other, both) / hold.count
    error: Doubles = np.sqrt(squared)
    return error


def _variance(arm: Moments, slopes: Doubles, covariates: int) -> Doubles:
    """Of what the covariates leave of each outcome within an arm: shape (outcomes,)."""
    scatter = arm.scatter
    before, across = scatter[:covariates, :covariates], scatter[:covariates, covariates:]
    left = np.diag(scatter)[covariates:] - (slopes * (2 * across - before @ slopes)).sum(axis=0)
    variance: Doubles = np.maximum(left, 0.0) / max(arm.count - 1, 1)
    return variance
