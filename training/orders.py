"""The orders of a log, one after the other."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.history import History


@dataclass(frozen=True, slots=True)
class Orders:
    """Orders by member, then by their first line's time; of two at once, by number."""

    offsets: NDArray[np.int64]
    """shape (members + 1,)"""
    starts: NDArray[np.float64]
    """shape (orders,): the day of the first line"""
    lines: NDArray[np.int64]
    """shape (rows of the log,): which order each line is of"""

    @property
    def counts(self) -> NDArray[np.int64]:
        """shape (members,): orders of each member."""
        return np.diff(self.offsets)

    def latest(self, back: NDArray[np.integer] | int = 0) -> NDArray[np.int64]:
        """shape (members,): each member's latest order, or one so many `back`, at most the first;
        -1 where there is none."""
        found = np.maximum(self.offsets[1:] - 1 - back, self.offsets[:-1])
        return np.where(self.counts > 0, found, -1)


def orders(purchases: History) -> Orders:
    """Fold lines, as a log holds them, into orders."""
    keys = purchases.members.astype(np.int64) << 32 | purchases.orders
    # the lines of a member are in time's order, so an order's first one is its earliest
    distinct, first, lines = np.unique(keys, return_index=True, return_inverse=True)
    starts = purchases.days[first]
    by_time = np.lexsort((distinct, starts, distinct >> 32))
    place = np.empty(len(by_time), np.int64)
    place[by_time] = np.arange(len(by_time))
    counts = np.bincount(distinct >> 32, minlength=len(purchases.offsets) - 1)
    return Orders(np.concatenate(([0], np.cumsum(counts))), starts[by_time], place[lines])
