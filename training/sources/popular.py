"""Popular now: what everybody bought in a recent window."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.shop import Past
from training.sources.candidates import Candidates

WINDOW_DAYS = 30.0


@dataclass(frozen=True, slots=True)
class Popular:
    """The same list for every member."""

    counts: NDArray[np.float32]
    """shape (products,): orders in the window"""
    top: NDArray[np.int32]

    def candidates(self, members: NDArray[np.int32]) -> Candidates:
        """See `Source`."""
        offsets = np.arange(len(members) + 1, dtype=np.int64) * len(self.top)
        return Candidates(offsets, np.tile(self.top, len(members)))

    def scores(
        self, members: NDArray[np.int32], products: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """log1p of the orders in the window."""
        return np.log1p(self.counts[products])


def fit(past: Past, *, size: int = 100) -> Popular:
    """Count orders, of members and strangers alike, and keep the `size` largest."""
    counts = order_counts(past, days=WINDOW_DAYS)
    counts[~past.catalogue] = 0
    order = np.argsort(-counts, kind="stable")[:size]
    return Popular(counts, order[counts[order] > 0].astype(np.int32))


def order_counts(past: Past, *, days: float) -> NDArray[np.float32]:
    """shape (products,): orders in the last `days`."""
    counts = np.zeros(past.n_products, np.float32)
    for lines in (past.purchases, past.strangers.purchases()):
        recent = lines.products[lines.days >= past.day - days]
        counts += np.bincount(recent, minlength=past.n_products)
    return counts


def first_buyers(past: Past, *, days: float) -> NDArray[np.float32]:
    """shape (products,): members whose first order with it fell into the last `days`."""
    recent = past.repeats.first >= past.day - days
    return np.bincount(past.repeats.products[recent], minlength=past.n_products).astype(np.float32)
