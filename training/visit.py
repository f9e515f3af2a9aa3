"""The chance that a member buys anything at all within the horizon.

The blend is learned from members who did buy: it decides among products. What a coupon can earn
depends on whether the member comes, too.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.features import MEMBER, Floats
from recsys.scoring import sigmoid

LEAST_BUYERS = 50
"""with fewer, or with nobody who stayed away, every member is taken to come"""


@dataclass(frozen=True, slots=True)
class Visit:
    """A logistic model over `features.MEMBER`."""

    bias: float
    weights: Floats
    """shape (len(MEMBER),)"""

    def chance(self, columns: Floats) -> Floats:
        """shape (members,): of `evidence.member_columns`."""
        return sigmoid((columns @ self.weights + np.float32(self.bias)).astype(np.float32))


CERTAIN = Visit(20.0, np.zeros(len(MEMBER), np.float32))


def fit(columns: list[Floats], came: list[NDArray[np.bool_]]) -> Visit:
    """Fit on members with a past, one entry of each list a window."""
    if not columns:
        return CERTAIN
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 half of a start-up

    table, bought = np.concatenate(columns), np.concatenate(came)
    if bought.sum() < LEAST_BUYERS or bought.all():
        return CERTAIN
    model = LogisticRegression().fit(table, bought)
    return Visit(float(model.intercept_[0]), model.coef_[0].astype(np.float32))
