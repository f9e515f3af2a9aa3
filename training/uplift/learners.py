"""Ways to learn what a push changes. Each is a line over the same basis, shrunk by its own data."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.uplift import Basis, Effect, basis_of
from training.uplift.trial import Trial

Doubles = NDArray[np.float64]

PENALTIES = np.logspace(-4, 3, 22)
"""times the mean eigenvalue: from hardly any shrinkage to next to nothing left"""


@dataclass(frozen=True, slots=True)
class Lesson:
    """A trial on its basis, with the outcome that was to be expected of each row in either arm."""

    trial: Trial
    basis: Basis
    columns: Doubles
    """shape (rows, basis.size)"""
    pushed: "Line"
    held: "Line"

    @property
    def expected(self) -> Doubles:
        """shape (rows,): before the arm is drawn"""
        chance = self.trial.chance
        return chance * self.pushed.of(self.columns) + (1 - chance) * self.held.of(self.columns)


class Line(NamedTuple):
    """weights: shape (columns,)."""

    weights: Doubles
    constant: float

    def of(self, columns: Doubles) -> Doubles:
        """shape (rows,)"""
        return columns @ self.weights + self.constant


Learner = Callable[[Lesson], Line]


def lesson(trial: Trial) -> Lesson:
    """What every learner starts from."""
    basis = basis_of(trial.features, trial.names)
    columns = basis.columns(trial.features)
    pushed, held = (
        ridge(columns[arm], trial.outcome[arm], np.ones(int(arm.sum())))
        for arm in (trial.pushed, ~trial.pushed)
    )
    return Lesson(trial, basis, columns, pushed, held)


def average(of: Lesson) -> Line:
    """The same for all."""
    return Line(np.zeros(of.basis.size), _mean(of))


def rule(of: Lesson) -> Line:
    """Two groups, told apart by the step of one feature that separates them most surely."""
    target, weight = _residual(of)
    steps = of.columns[:, len(of.basis.centre) :]
    inside = weight @ steps
    outside = weight.sum() - inside
    possible = np.minimum(inside, outside) > 0
    inside, outside = np.where(possible, inside, 1.0), np.where(possible, outside, 1.0)
    there = (weight * target) @ steps
    there, elsewhere = there / inside, ((weight * target).sum() - there) / outside
    sure = np.where(possible, (there - elsewhere) ** 2 / (1 / inside + 1 / outside), 0.0)
    weights = np.zeros(of.basis.size)
    if not len(sure) or sure.max() <= 0:
        return Line(weights, _mean(of))
    best = int(sure.argmax())
    weights[len(of.basis.centre) + best] = there[best] - elsewhere[best]
    return Line(weights, float(elsewhere[best]))


def arms(of: Lesson) -> Line:
    """A line for each arm, and their difference (T-learner)."""
    return Line(of.pushed.weights - of.held.weights, of.pushed.constant - of.held.constant)


def transformed(of: Lesson) -> Line:
    """An outcome whose mean is the effect (class transformation, for money too; Athey & Imbens
    2015, arXiv 1504.01132)."""
    trial = of.trial
    odds = trial.chance * (1 - trial.chance)
    return ridge(of.columns, trial.outcome * (trial.pushed - trial.chance) / odds, odds)


def residual(of: Lesson) -> Line:
    """What is left of the outcome, over what is left of the draw (R-learner; Nie & Wager 2021,
    arXiv 1712.04912)."""
    return ridge(of.columns, *_residual(of))


LEARNERS: dict[str, Learner] = {
    "average": average,
    "rule": rule,
    "residual": residual,
    "transformed": transformed,
    "arms": arms,
}
"""the simplest first"""


def effect(learner: Learner, of: Lesson) -> Effect:
    """What a learner makes of it."""
    weights, constant = learner(of)
    return Effect(of.basis, weights, constant)


def scores(of: Lesson, trial: Trial) -> Doubles:
    """shape (rows,): numbers whose mean over any group is the effect on it, for rows that the
    lesson did not see (doubly robust: Robins, Rotnitzky & Zhao 1994)."""
    columns = of.basis.columns(trial.features)
    pushed, held = of.pushed.of(columns), of.held.of(columns)
    took = np.where(trial.pushed, trial.outcome - pushed, held - trial.outcome)
    drawn = np.where(trial.pushed, trial.chance, 1 - trial.chance)
    return pushed - held + took / drawn


def ridge(columns: Doubles, target: Doubles, weight: Doubles) -> Line:
    """Least squares, shrunk to the mean as far as generalised cross-validation says (Golub, Heath
    & Wahba 1979). Every argument has one row for each row; weights are above 0."""
    total = weight.sum()
    centre, mean = weight @ columns / total, float(weight @ target / total)
    inner = columns - centre
    root = np.sqrt(weight)[:, None]
    values, vectors = np.linalg.eigh((root * inner).T @ (root * inner))
    values = np.maximum(values, 0.0)
    left = target - mean
    along = vectors.T @ (inner.T @ (weight * left))
    whole = float(weight @ left**2)
    best, least = np.zeros_like(along), np.inf
    for penalty in PENALTIES * max(float(values.mean()), 1e-12):
        shrunk = along / (values + penalty)
        fitted = 2 * along @ shrunk - values @ shrunk**2
        freedom = 1 + (values / (values + penalty)).sum()
        loss = (whole - fitted) / max(len(target) - freedom, 1.0) ** 2
        if loss < least:
            best, least = shrunk, loss
    weights = vectors @ best
    return Line(weights, mean - float(centre @ weights))


def _residual(of: Lesson) -> tuple[Doubles, Doubles]:
    """Each row's guess of its effect, and how much it says."""
    trial = of.trial
    draw = trial.pushed - trial.chance
    return (trial.outcome - of.expected) / draw, draw**2


def _mean(of: Lesson) -> float:
    target, weight = _residual(of)
    return float(weight @ target / weight.sum())
