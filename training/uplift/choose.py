"""Chooses among learners by members that they did not see; what is not shown does not count."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from recsys.uplift import Effect
from training.uplift.learners import OF_CHANCES, OF_ROWS, OTHERS, SIMPLE, lesson, scores
from training.uplift.trial import Trial

Doubles = NDArray[np.float64]

FOLDS = 5
ERROR = 0.025
"""chance that noise alone takes the place of a simple learner, over all others together"""


@dataclass(frozen=True, slots=True)
class Found:
    """An effect, and how it was found."""

    effect: Effect
    learner: str
    gains: dict[str, float]
    """for each learner, what its order of unseen members adds to an order by lot: the mean over
    all shares that could be pushed, for each member; beyond what their doses do"""
    mean: float
    """effect of all pushes together, for each unit of their dose"""
    error: float
    """its standard error"""


def learn(trial: Trial, *, rng: np.random.Generator) -> Found:
    """The effect that the trial shows.

    The best of the learners that are not simple takes the place of a simple one if its order of
    unseen members is better beyond what noise does. Differences between members are then shrunk by
    the slope of the effects seen on those foretold (Chernozhukov et al. 2018, arXiv 1712.04802), so
    that a plan does not chase noise.
    """
    chances = np.isin(trial.outcome, (0.0, 1.0)).all()
    learners = {
        name: learner
        for name, learner in (SIMPLE | OTHERS | (OF_CHANCES if chances else {})).items()
        if trial.dose is None or name not in OF_ROWS
    }
    fold, dose = _folds(trial, rng), trial.doses
    seen = np.empty(len(trial))
    foretold = {name: np.empty(len(trial)) for name in learners}
    for at in range(FOLDS):
        out = fold == at
        learned, unseen = lesson(trial.rows(~out)), trial.rows(out)
        seen[out] = scores(learned, unseen)
        columns = learned.basis.columns(unseen.features)
        for name, learner in learners.items():
            foretold[name][out] = learner(learned).of_columns(columns)
    mean = float(seen.sum() / dose.sum())
    # what many units of a dose do more than few is no difference between members
    apart = seen if trial.dose is None else seen - mean * dose
    gained = {name: _gains(one, apart, fold) for name, one in foretold.items()}
    others = [name for name in learners if name not in SIMPLE]
    best = max(others, key=lambda name: gained[name].mean())
    chosen, *rest = SIMPLE
    for name, rivals in (*((one, 1) for one in rest), (best, len(others))):
        better = gained[name] - gained[chosen]
        sure = float(ndtri(1 - ERROR / rivals))  # Bonferroni: the best of several
        if better.mean() > sure * better.std(ddof=1) / len(trial) ** 0.5:
            chosen = name
    slope = _slope(foretold[chosen], seen, dose, fold)
    whole = learners[chosen](lesson(trial))
    shift = mean - slope * float(dose @ whole.of(trial.features) / dose.sum())
    return Found(
        replace(whole, slope=slope, shift=shift),
        chosen,
        {name: float(one.mean()) for name, one in gained.items()},
        mean,
        float(((seen - mean * dose) ** 2).sum() ** 0.5 / dose.sum()),
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
        middle = np.cumsum(count) - (count - 1) / 2  # equal ones share their places
        gain[rows] = (middle[place] - 0.5) / rows.sum() - 0.5
    return gain * seen


def _slope(foretold: Doubles, seen: Doubles, dose: Doubles, fold: NDArray[np.int64]) -> float:
    """Of what was seen on what was foretold, within folds; 0 to 1."""
    along = across = 0.0
    for at in range(FOLDS):
        rows = fold == at
        inner = foretold[rows] - np.average(foretold[rows], weights=dose[rows])
        along += float(inner @ seen[rows])
        across += float(dose[rows] @ inner**2)
    return float(np.clip(along / across, 0.0, 1.0)) if across > 0 else 0.0
