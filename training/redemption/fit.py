"""Two small models fitted around a prior, by Newton's method: a choice among coupons (softmax), and
a chance (logistic). Without data, what comes out is the prior."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.features import Floats

PENALTY = 40.0
"""of a weight's squared distance from its prior, the feature in standard deviations. On Complete
Journey 20 to 80 are alike"""
BIAS_PENALTY = 1.0
STEPS = 50

Wide = NDArray[np.float64]
Derivatives = Callable[[Wide], tuple[float, Wide, Wide]]
"""a loss at some weights, its slope and its curvature"""


@dataclass(frozen=True, slots=True)
class Choice:
    """Members of one campaign who redeemed something of what they may have been given."""

    table: Floats
    """shape (members, coupons, features)"""
    given: NDArray[np.bool_]
    """shape (members, coupons)"""
    redeemed: NDArray[np.bool_]
    """shape (members, coupons): at least one a member"""


def choice(examples: Sequence[Choice], prior: Wide) -> Floats:
    """Weights under which what was redeemed stands out among what was given, coupon by coupon:
    a conditional logit."""
    if not examples:
        return prior.astype(np.float32)
    seen = np.concatenate([one.table[one.given] for one in examples]).astype(np.float64)
    spread = _spread(seen)
    scaled = [one.table.astype(np.float64) / spread for one in examples]

    def derivatives(weights: Wide) -> tuple[float, Wide, Wide]:
        loss, slope, bend = 0.0, np.zeros_like(weights), np.zeros((len(weights),) * 2)
        for one, table in zip(examples, scaled, strict=True):
            logits = np.where(one.given, table @ weights, -np.inf)
            logits -= logits.max(axis=1, keepdims=True)
            chance = np.exp(logits)
            total = chance.sum(axis=1, keepdims=True)
            chance /= total
            times = one.redeemed.sum(axis=1)[:, None]
            loss -= (logits - np.log(total))[one.redeemed].sum()
            expected = times * chance
            slope -= np.einsum("mcf,mc->f", table, one.redeemed - expected)
            mean = np.einsum("mcf,mc->mf", table, chance)
            flat = table.reshape(-1, len(weights))
            bend += flat.T @ (flat * expected.reshape(-1, 1)) - mean.T @ (mean * times)
        return loss, slope, bend

    penalty = np.full(len(prior), PENALTY)
    found = _newton(derivatives, prior * spread, penalty)
    return (found / spread).astype(np.float32)


def logistic(
    table: Floats, happened: NDArray[np.bool_], *, prior: Wide, bias: float
) -> tuple[float, Floats]:
    """Bias and weights of a chance, shrunk to a prior; `bias` is that of the mean row."""
    means = table.mean(axis=0, dtype=np.float64) if len(table) else np.zeros(len(prior))
    spread = _spread(table.astype(np.float64))
    scaled = np.column_stack((np.ones(len(table)), (table - means) / spread))

    def derivatives(weights: Wide) -> tuple[float, Wide, Wide]:
        logits = scaled @ weights
        chance = 1 / (1 + np.exp(-logits))
        loss = float(np.logaddexp(0, logits).sum() - logits[happened].sum())
        bend = scaled.T @ (scaled * (chance * (1 - chance))[:, None])
        return loss, scaled.T @ (chance - happened), bend

    penalty = np.array([BIAS_PENALTY, *[PENALTY] * len(prior)])
    found = _newton(derivatives, np.array([bias, *prior * spread]), penalty)
    weights = found[1:] / spread
    return float(found[0] - means @ weights), weights.astype(np.float32)


def _spread(table: Wide) -> Wide:
    """Standard deviations; 1 for a feature that says nothing."""
    spread: Wide = table.std(axis=0) if len(table) else np.ones(table.shape[1])
    return np.where(spread > 1e-6, spread, 1.0)


def _newton(derivatives: Derivatives, prior: Wide, penalty: Wide) -> Wide:
    """The minimum of a convex loss and the penalty, from the prior on."""

    def at(weights: Wide) -> tuple[float, Wide, Wide]:
        loss, slope, bend = derivatives(weights)
        away = weights - prior
        return loss + (penalty * away**2).sum() / 2, slope + penalty * away, bend + np.diag(penalty)

    weights = prior
    loss, slope, bend = at(weights)
    for _ in range(STEPS):
        step = np.linalg.solve(bend, slope)
        reach = 1.0
        while (tried := at(weights - reach * step))[0] > loss and reach > 1e-6:
            reach /= 2
        gained = loss - tried[0]
        if gained <= 0:
            break
        weights = weights - reach * step
        loss, slope, bend = tried
        if gained < 1e-9 * abs(loss):
            break
    return weights
