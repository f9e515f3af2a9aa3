"""What is kept of each arm: sums that add up, from which every estimate follows."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Moments:
    """Of some clusters: how many, the sums of their columns, and of the products of two columns."""

    count: int
    total: Doubles
    """shape (columns,)"""
    cross: Doubles
    """shape (columns, columns)"""

    def __add__(self, other: "Moments") -> "Moments":
        return Moments(self.count + other.count, self.total + other.total, self.cross + other.cross)

    @property
    def mean(self) -> Doubles:
        """shape (columns,); of nobody, zeros"""
        return self.total / max(self.count, 1)

    @property
    def scatter(self) -> Doubles:
        """Sums of products of distances from the means: shape (columns, columns)."""
        return self.cross - np.outer(self.total, self.total) / max(self.count, 1)


def moments(rows: Doubles) -> Moments:
    """Of rows, shape (clusters, columns): what was known before the slot, then what came after."""
    return Moments(len(rows), rows.sum(axis=0), rows.T @ rows)
