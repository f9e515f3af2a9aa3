"""Chooses among learners by members that they did not see; what is not shown does not count."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from recsys.uplift import Effect
from training.uplift.learners import LEARNERS, Learner, effect, lesson, scores
from training.uplift.trial import Trial

Doubles = NDArray[np.float64]

FOLDS = 5
ERROR = 0.025
"""chance that noise alone takes the place of the simplest learner, over all others together"""


@dataclass(frozen=True, slots=True)
class Found:
    """An effect, and how it was found."""

    effect: Effect
    learner: str
    gains: dict[str, float]
    """for each learner, what its order of the members adds to an order by lot: the mean over all
    shares that could be pushed, for each member"""
    slope: float
    """what was left of the learner's differences between members, 0 to 1"""


def learn(
    trial: Trial, *, rng: np.random.Generator, learners: Mapping[str, Learner] = LEARNERS
) -> Found:
    """The effect that the trial shows.

    A learner, in the order given, takes the place of a simpler one if its order of unseen members
    is better beyond ERROR. Its effects are then drawn towards their mean by the slope
    of the effects that were seen on those that it foretold (Chernozhukov et al. 2018, arXiv
    1712.04802), so that a plan does not chase noise.
    """
    fold = _folds(trial, rng)
    seen = np.empty(len(trial))
    foretold = {name: np.empty(len(trial)) for name in learners}
    for at in range(FOLDS):
        out = fold == at
        learned, unseen = lesson(trial.rows(~out)), trial.rows(out)
        seen[out] = scores(learned, unseen)
        for name, learner in learners.items():
            foretold[name][out] = effect(learner, learned).of(unseen.features)
    gained = {name: _gains(one, seen, fold) for name, one in foretold.items()}
    chosen, *others = learners
    sure = float(ndtri(1 - ERROR / max(len(others), 1)))  # Bonferroni
    for name in others:
        better = gained[name] - gained[chosen]
        if better.mean() > sure * better.std(ddof=1) / len(trial) ** 0.5:
            chosen = name
    whole = effect(learners[chosen], lesson(trial))
    slope = _slope(foretold[chosen], seen, fold)
    mean = float(whole.of(trial.features).mean())
    return Found(
        Effect(
            whole.basis,
            whole.weights * slope,
            float(seen.mean()) + slope * (whole.constant - mean),
        ),
        chosen,
        {name: float(one.mean()) for name, one in gained.items()},
        slope,
    )


def _folds(trial: Trial, rng: np.random.Generator) -> NDArray[np.int64]:
    """shape (rows,): each arm is dealt out evenly."""
    fold = np.empty(len(trial), np.int64)
    for arm in (trial.pushed, ~trial.pushed):
        fold[arm] = rng.permutation(np.arange(int(arm.sum())) % FOLDS)
    return fold


def _gains(foretold: Doubles, seen: Doubles, fold: NDArray[np.int64]) -> Doubles:
    """shape (rows,): each row's part of the area between the curve and the lot's (the Qini
    coefficient as a rank-weighted mean: Yadlowsky et al., arXiv 2111.07966)."""
    gain = np.empty(len(seen))
    for at in range(FOLDS):
        rows = fold == at
        _, place, count = np.unique(foretold[rows], return_inverse=True, return_counts=True)
        middle = np.cumsum(count) - (count - 1) / 2
        gain[rows] = (middle[place] / rows.sum() - 0.5 - 0.5 / rows.sum()) * seen[rows]
    return gain


def _slope(foretold: Doubles, seen: Doubles, fold: NDArray[np.int64]) -> float:
    """Of what was seen on what was foretold, within folds."""
    along = across = 0.0
    for at in range(FOLDS):
        rows = fold == at
        inner = foretold[rows] - foretold[rows].mean()
        along += float(inner @ seen[rows])
        across += float(inner @ inner)
    return float(np.clip(along / across, 0.0, 1.0)) if across > 0 else 0.0
