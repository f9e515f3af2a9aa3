"""What members buy of a category or a brand."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.features import Floats
from training.shop import Past
from training.sparse import cells

IDLE_DAYS = 365.0
"""a member who has not bought in a category for a year is as good as new to it"""


@dataclass(frozen=True, slots=True)
class Affinity:
    """Decayed orders of each member in each class of products."""

    classes: NDArray[np.int32]
    """shape (products,): -1 is no class"""
    orders: csr_matrix
    """shape (members, classes)"""
    latest: csr_matrix
    """shape (members, classes): the day of the member's latest order in the class"""
    popular_30: Floats
    """shape (classes,): everybody's orders in 30 days"""

    first_30: Floats
    """shape (classes,): members with a first order of one of its products, product by product"""

    def of(self, members: NDArray[np.int32], products: NDArray[np.int32]) -> Floats:
        """shape (pairs,): the member's orders in the product's class."""
        return cells(self.orders, members, self.classes[products])

    def idle(self, members: NDArray[np.int32], products: NDArray[np.int32], day: float) -> Floats:
        """shape (pairs,): days since the member's latest order in the product's class."""
        latest = cells(self.latest, members, self.classes[products])
        return np.where(latest > 0, np.minimum(day - latest, IDLE_DAYS), IDLE_DAYS).astype(
            np.float32
        )

    def popular(self, products: NDArray[np.int32]) -> Floats:
        """shape (products,): everybody's orders in the product's class; 0 without a class."""
        return np.append(self.popular_30, np.float32(0))[self.classes[products]]

    def first(self, products: NDArray[np.int32]) -> Floats:
        """shape (products,): first orders in the product's class; 0 without a class."""
        return np.append(self.first_30, np.float32(0))[self.classes[products]]


def affinity(
    past: Past, classes: NDArray[np.int32], *, decayed: Floats, popular: Floats, first: Floats
) -> Affinity:
    """Fold each member's orders by class of products, and everybody's."""
    pairs = past.repeats
    known = classes >= 0
    size = int(classes.max(initial=-1)) + 1
    kept = known[pairs.products]
    size = max(size, 1)
    keys = pairs.members()[kept].astype(np.int64) * size + classes[pairs.products[kept]]
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    place = np.divmod(keys[order][starts], size)
    shape = (past.n_members, size)

    def folded(values: NDArray[np.floating], fold: np.ufunc) -> csr_matrix:
        rows = values[kept][order].astype(np.float32)
        return csr_matrix(
            (fold.reduceat(rows, starts) if len(starts) else rows, place), shape=shape
        )

    def everybody(values: Floats) -> Floats:
        return np.bincount(classes[known], values[known], size).astype(np.float32)

    return Affinity(
        classes,
        folded(decayed, np.add),
        folded(pairs.last, np.maximum),
        everybody(popular),
        everybody(first),
    )
