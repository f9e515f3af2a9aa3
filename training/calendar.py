"""How often a product was bought before an instant of the calendar, member by member."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.history import History

_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Calendar:
    """All order lines by product, then time, and each member's own instant."""

    keys: NDArray[np.int64]
    """shape (lines,), ascending: the product, then the second since 1970"""
    instants: NDArray[np.float64]
    """shape (members,): days since 1970"""

    def orders(
        self, members: NDArray[np.int32], products: NDArray[np.int32], *, days: float
    ) -> NDArray[np.float32]:
        """shape (pairs,): everybody's orders with the product in the days before the member's
        instant."""
        rows, until = products.astype(np.int64), self.instants[members]
        found = np.searchsorted(self.keys, _keys(rows, until))
        found -= np.searchsorted(self.keys, _keys(rows, until - days))
        return found.astype(np.float32)


def calendar(instants: NDArray[np.float64], *histories: History) -> Calendar:
    """Of purchases on the calendar's own days."""
    keys = [_keys(one.products.astype(np.int64), one.days) for one in histories]
    return Calendar(np.sort(np.concatenate(keys)), instants)


def _keys(products: NDArray[np.int64], days: NDArray[np.float64]) -> NDArray[np.int64]:
    return products << 32 | np.floor(days * _DAY_SECONDS).astype(np.int64)
