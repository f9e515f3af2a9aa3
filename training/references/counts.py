"""Rankings that only count."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from training.references.recipe import Score, catalogue_cells, positive
from training.shop import Past

POPULAR_DAYS = 30.0
DECAY_DAYS = 60.0
SEGMENT_PRIOR = 1_000.0
"""Lines of the whole shop that a segment starts with: one with fewer lines of its own follows the
shop more than itself."""


def popular(past: Past) -> Score:
    """Members' orders of the last 30 days."""
    return _same_for_all(_recent(past).sum(axis=0))


def popular_segment(past: Past) -> Score:
    """The same within the member's segment, shrunk to the whole shop."""
    counts = _recent(past)
    whole = counts.sum(axis=0)
    if len(counts) == 1:
        return _same_for_all(whole)
    shrunk = counts + SEGMENT_PRIOR * whole / max(whole.sum(), 1)
    shrunk[-1] = whole  # of those of whom nothing is known
    return lambda members: shrunk[past.segments[members]].astype(np.float32)


def repeat(past: Past) -> Score:
    """Own orders, each worth exp(-age / 60 days)."""
    own = decayed(past)
    return lambda members: positive(own[members])


def global_top(past: Past) -> Score:
    """Members' orders of all time."""
    counts = np.bincount(past.purchases.products, minlength=past.n_products)
    return _same_for_all(counts[past.catalogue])


def personal_top(past: Past) -> Score:
    """Own orders of all time."""
    own = catalogue_cells(past, past.repeats.counts.astype(np.float32))
    return lambda members: positive(own[members])


def decayed(past: Past) -> csr_matrix:
    """shape (members, products of the catalogue): own orders, faded."""
    return catalogue_cells(past, past.repeats.decayed(past.day, DECAY_DAYS))


def _recent(past: Past) -> NDArray[np.int64]:
    """shape (segments + 1, products of the catalogue): lines in the window; the last row's
    members have no segment."""
    lines = past.purchases.where(past.purchases.days >= past.day - POPULAR_DAYS)
    n_segments = int(past.segments.max(initial=-1)) + 1
    cells = (past.segments[lines.members] % (n_segments + 1), lines.products)
    counts = np.zeros((n_segments + 1, past.n_products), np.int64)
    np.add.at(counts, cells, 1)
    return counts[:, past.catalogue]


def _same_for_all(counts: NDArray[np.int64]) -> Score:
    return lambda members: np.tile(counts.astype(np.float32), (len(members), 1))
