"""Ways to learn what a push changes, each shrunk by its own data."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.special import logit
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import lasso_path

from recsys.uplift import Basis, Effect, Line, basis_of
from training.uplift.trial import Trial

Doubles = NDArray[np.float64]

PENALTIES = np.logspace(-3, 2, 21)
"""beside columns of square sum 1: from hardly any shrinkage to next to nothing left"""
SPARSE = np.logspace(0, -2, 60)
"""parts of the penalty that leaves nothing"""
RAREST = 0.02
"""chance: an estimate below it, or above its counterpart, is not taken at its word"""


@dataclass(frozen=True, slots=True)
class Lesson:
    """A trial on its basis, with the outcome that was to be expected of each row in either arm."""

    trial: Trial
    basis: Basis
    columns: Doubles
    """shape (rows, basis.size)"""
    pushed: Line
    """over all columns, as is `held`"""
    held: Line
    expected: Doubles
    """shape (rows,): before the arm is drawn"""

    @property
    def plain(self) -> Doubles:
        """The columns that are no products."""
        return self.columns[:, : self.basis.plain]

    @property
    def draw(self) -> Doubles:
        """shape (rows,): the arm, less its chance"""
        return self.trial.pushed - self.trial.chance


Learner = Callable[[Lesson], Effect]


def lesson(trial: Trial) -> Lesson:
    """What every learner starts from."""
    basis = basis_of(trial.features, trial.names)
    columns = basis.columns(trial.features)
    pushed, held = (
        ridge(columns[arm], trial.outcome[arm]) for arm in (trial.pushed, ~trial.pushed)
    )
    expected = ridge(columns, trial.outcome).of(columns)
    return Lesson(trial, basis, columns, pushed, held, expected)


def average(of: Lesson) -> Effect:
    """The same for all."""
    target, weight = _left(of)
    return Effect(of.basis, Line(np.zeros(0), float(weight @ target / weight.sum())))


def rule(of: Lesson) -> Effect:
    """Two groups, told apart by the step of one feature that separates them most surely."""
    target, weight = _left(of)
    first = len(of.basis.centre)
    steps = of.plain[:, first:]
    inside = weight @ steps
    outside = weight.sum() - inside
    possible = np.minimum(inside, outside) > 0
    if not possible.any():
        return average(of)
    inside, outside = np.where(possible, inside, 1.0), np.where(possible, outside, 1.0)
    sum_inside = (weight * target) @ steps
    there, elsewhere = sum_inside / inside, (weight @ target - sum_inside) / outside
    sure = np.where(possible, (there - elsewhere) ** 2 / (1 / inside + 1 / outside), -1.0)
    best = int(sure.argmax())
    weights = np.zeros(of.basis.plain)
    weights[first + best] = there[best] - elsewhere[best]
    return Effect(of.basis, Line(weights, float(elsewhere[best])))


def arms(of: Lesson) -> Effect:
    """A line for each arm, and their difference (T-learner)."""
    pushed, held = (
        ridge(of.plain[arm], of.trial.outcome[arm]) for arm in (of.trial.pushed, ~of.trial.pushed)
    )
    difference = Line(pushed.weights - held.weights, pushed.constant - held.constant)
    return Effect(of.basis, difference)


def transformed(of: Lesson) -> Effect:
    """An outcome whose mean is the effect (class transformation, for money too: Athey & Imbens
    2015, arXiv 1504.01132)."""
    odds, dose = of.trial.chance * (1 - of.trial.chance), of.trial.doses
    target = of.trial.outcome * of.draw / odds / dose
    return Effect(of.basis, ridge(of.plain, target, odds * dose**2))


def residual(of: Lesson) -> Effect:
    """What is left of the outcome, over what is left of the draw (R-learner: Nie & Wager 2021,
    arXiv 1712.04912)."""
    return Effect(of.basis, ridge(of.plain, *_left(of)))


def products(of: Lesson) -> Effect:
    """The same with products of two features, of which few matter."""
    return Effect(of.basis, lasso(of.columns, *_left(of)))


def odds(of: Lesson) -> Effect:
    """The same on the scale of odds, where a push moves the undecided most: one Newton step of
    the logistic regression. For outcomes of 0 and 1."""
    chance = np.clip(of.expected, RAREST, 1 - RAREST)
    spread = chance * (1 - chance)
    target, weight = _left(of)
    move = lasso(of.columns, target / spread, weight * spread)
    # before the draw, a member stands a part of the move above where none is pushed
    middle = logit(chance) + (of.trial.outcome - of.expected) / spread
    base = ridge(of.columns, middle - of.draw * move.of(of.columns), spread)
    pushed = float(of.trial.chance.mean())
    held = Line(base.weights - pushed * move.weights, base.constant - pushed * move.constant)
    return Effect(of.basis, move, held)


SIMPLE: dict[str, Learner] = {"average": average, "rule": rule}
"""the simplest first"""
OTHERS: dict[str, Learner] = {
    "transformed": transformed,
    "arms": arms,
    "residual": residual,
    "products": products,
}
OF_CHANCES: dict[str, Learner] = {"odds": odds}
OF_ROWS = ("arms", "odds")
"""they know of no dose"""


def scores(of: Lesson, trial: Trial) -> Doubles:
    """shape (rows,): numbers whose mean over any group is the effect on it, for rows that the
    lesson did not see (doubly robust: Robins, Rotnitzky & Zhao 1994)."""
    columns = of.basis.columns(trial.features)
    pushed, held = of.pushed.of(columns), of.held.of(columns)
    off = np.where(trial.pushed, trial.outcome - pushed, held - trial.outcome)
    return pushed - held + off / np.where(trial.pushed, trial.chance, 1 - trial.chance)


def ridge(columns: Doubles, target: Doubles, weight: Doubles | None = None) -> Line:
    """Least squares, shrunk to the mean as far as generalised cross-validation says (Golub, Heath
    & Wahba 1979), every column on the same scale. weight: shape (rows,), above 0."""
    sums = _sums(columns, target, weight)
    values, vectors = np.linalg.eigh(sums.inner)
    values = np.maximum(values, 0.0)
    along = vectors.T @ sums.across
    shrunk = along / (values + PENALTIES[:, None])
    explained = 2 * shrunk @ along - shrunk**2 @ values
    used = (values / (values + PENALTIES[:, None])).sum(axis=1)
    return sums.line(vectors @ shrunk[_least(sums, explained, used)])


def lasso(columns: Doubles, target: Doubles, weight: Doubles | None = None) -> Line:
    """The same with most weights 0, for many columns of which few matter (Tibshirani 1996; a
    column that is used counts as one: Zou, Hastie & Tibshirani 2007, arXiv 0712.0881)."""
    sums = _sums(columns, target, weight)
    if not sums.across.any():
        return sums.line(sums.across)
    # lasso_path wants rows: any root of the sums has the same solution, at the same penalties
    root = np.linalg.cholesky(sums.inner + 1e-9 * np.eye(len(sums.inner))).T
    penalties = np.abs(sums.across).max() / len(root) * SPARSE
    with warnings.catch_warnings():
        # columns that are nearly alike take long; each fit is measured by what it explains
        warnings.simplefilter("ignore", ConvergenceWarning)
        _, found, _ = lasso_path(
            root, solve_triangular(root.T, sums.across, lower=True),
            precompute=sums.inner, Xy=sums.across, alphas=penalties,
        )  # fmt: skip
    explained = 2 * sums.across @ found - (found * (sums.inner @ found)).sum(axis=0)
    used = (found != 0).sum(axis=0).astype(np.float64)
    return sums.line(found[:, _least(sums, explained, used)])


class _Sums(NamedTuple):
    """Weighted products of columns with mean 0 and square sum 1, and of the target with them."""

    inner: Doubles
    across: Doubles
    target: float
    """its own square"""
    rows: int
    centre: Doubles
    scale: Doubles
    mean: float

    def line(self, weights: Doubles) -> Line:
        """On the columns as they were."""
        weights = weights / self.scale
        return Line(weights, self.mean - float(self.centre @ weights))


def _sums(columns: Doubles, target: Doubles, weight: Doubles | None) -> _Sums:
    share = np.full(len(target), 1 / len(target)) if weight is None else weight / weight.sum()
    centre, mean = share @ columns, float(share @ target)
    inner = (columns - centre) * np.sqrt(share)[:, None]
    scale = np.sqrt((inner**2).sum(axis=0))
    scale = np.where(scale > 1e-9, scale, np.inf)  # a constant column gets no weight
    inner /= scale
    left = (target - mean) * np.sqrt(share)
    return _Sums(
        inner.T @ inner, inner.T @ left, float(left @ left), len(target), centre, scale, mean
    )


def _least(sums: _Sums, explained: Doubles, used: Doubles) -> int:
    """Which of the fits generalised cross-validation chooses; shape (fits,) each."""
    free = np.maximum(sums.rows - 1 - used, 1.0)
    return int(((sums.target - explained) / free**2).argmin())


def _left(of: Lesson) -> tuple[Doubles, Doubles]:
    """Each row's guess of its effect, and how much it says."""
    moved = of.draw * of.trial.doses
    return (of.trial.outcome - of.expected) / moved, moved**2
