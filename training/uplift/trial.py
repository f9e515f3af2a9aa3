"""A randomised trial, and how well a ranking finds those whom a push moves."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.errors import DataError

Doubles = NDArray[np.float64]

FEWEST = 20
"""rows of an arm: with fewer, folds are left without one"""


@dataclass(frozen=True, slots=True)
class Trial:
    """Rows that were drawn to get a push, or to be held out of it. DataError if they were not."""

    names: tuple[str, ...]
    features: Doubles
    """shape (rows, features), known before the draw"""
    pushed: NDArray[np.bool_]
    """shape (rows,)"""
    chance: Doubles
    """shape (rows,): of being pushed, as it was drawn; above 0 and below 1"""
    outcome: Doubles
    """shape (rows,): what came of it, in the same time for both arms"""
    dose: Doubles | None = None
    """shape (rows,), above 0: the effect is counted for each unit of it; None: for each row"""

    def __post_init__(self) -> None:
        rows = len(self.pushed)
        if self.features.shape != (rows, len(self.names)):
            raise DataError(
                f"The trial has {rows:,} rows and {len(self.names)} features, its table has the "
                f"shape {self.features.shape}"
            )
        for name, column in (
            *zip(self.names, self.features.T, strict=True),
            ("outcome", self.outcome),
        ):
            wrong = ~np.isfinite(column)
            if len(column) != rows or wrong.any():
                raise DataError(
                    f"{name} of the trial has {int(wrong.sum()):,} values that are no number in "
                    f"{len(column):,} rows of {rows:,}; fill them before the trial is made"
                )
        if not ((self.chance > 0) & (self.chance < 1)).all() or len(self.chance) != rows:
            raise DataError(
                "A trial tells what a push does only where both arms were possible: leave out "
                "members whose chance of a push was 0 or 1"
            )
        if not (self.doses > 0).all() or len(self.doses) != rows:
            raise DataError("A dose of the trial is not above 0: leave such rows out")
        for arm, size in (("pushed", self.pushed.sum()), ("held out", (~self.pushed).sum())):
            if size < FEWEST:
                raise DataError(
                    f"{int(size):,} members of the trial were {arm}; at least {FEWEST} are needed"
                )

    def __len__(self) -> int:
        return len(self.pushed)

    def rows(self, which: NDArray[np.bool_] | NDArray[np.int64]) -> "Trial":
        """Some of its rows."""
        return Trial(
            self.names,
            self.features[which],
            self.pushed[which],
            self.chance[which],
            self.outcome[which],
            None if self.dose is None else self.dose[which],
        )

    @property
    def doses(self) -> Doubles:
        """shape (rows,)"""
        return np.ones(len(self)) if self.dose is None else self.dose


def uplift_at(score: Doubles, trial: Trial, *, share: float) -> float:
    """Mean outcome of the pushed less that of the held out, among the best `share` of each arm.

    The measure of scikit-uplift (`uplift_at_k`, by group), but equal scores count in part, so
    that no order of the rows flatters a rule that knows two groups alone. Takes chances as equal.
    """
    pushed, held = (
        float(trial.outcome[arm] @ _best(score[arm], share))
        for arm in (trial.pushed, ~trial.pushed)
    )
    return pushed - held


def _best(score: Doubles, share: float) -> Doubles:
    """shape (rows,): weights of the best, summing to 1."""
    wanted = share * len(score)
    cut = np.partition(score, -max(int(np.ceil(wanted)), 1))[-max(int(np.ceil(wanted)), 1)]
    above, equal = score > cut, score == cut
    weights: Doubles = (above + equal * (wanted - above.sum()) / equal.sum()) / wanted
    return weights
