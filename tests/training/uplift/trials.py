"""Trials whose effect is known."""

from collections.abc import Callable

import numpy as np
from scipy.special import expit

from training.uplift.trial import Trial

NAMES = ("spend", "thrift", "regular", "noise")


def trial(
    effect: Callable[[np.ndarray], np.ndarray | float],
    *,
    rows: int,
    rng: np.random.Generator,
    chance: float = 0.6,
    noise: float = 1.0,
) -> Trial:
    """An outcome in money: a base, the effect on those who were pushed, and noise."""
    features, pushed = _drawn(rows, rng, chance)
    base = 2 + features[:, 0] - 0.5 * features[:, 1] ** 2
    outcome = base + pushed * effect(features) + rng.normal(0, noise, rows)
    return Trial(NAMES, features, pushed, np.full(rows, chance), outcome)


def visits(
    move: Callable[[np.ndarray], np.ndarray | float],
    *,
    rows: int,
    rng: np.random.Generator,
    chance: float = 0.6,
) -> tuple[Trial, np.ndarray]:
    """An outcome of 0 or 1, whose logit a push moves; and the effect on each row's chance."""
    features, pushed = _drawn(rows, rng, chance)
    base = -1 + features[:, 0]
    effect = expit(base + move(features)) - expit(base)
    outcome = rng.random(rows) < expit(base) + pushed * effect
    return Trial(NAMES, features, pushed, np.full(rows, chance), outcome.astype(float)), effect


def _drawn(rows: int, rng: np.random.Generator, chance: float) -> tuple[np.ndarray, np.ndarray]:
    features = rng.normal(size=(rows, 4))
    features[:, 2] = features[:, 2] > 0
    return features, rng.random(rows) < chance
