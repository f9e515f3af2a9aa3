"""What a reference is: a fixed recipe, fitted on a past, that scores its catalogue."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.features import Floats
from training.shop import Past

Scores = NDArray[np.floating]
Score = Callable[[NDArray[np.int32]], Scores]
"""Of some members' rows, shape (members, products of the catalogue); -inf for what the recipe
has no word on."""
Recipe = Callable[[Past], Score]


def catalogue_cells(past: Past, values: Floats) -> csr_matrix:
    """A value for each of the past's repeats, as shape (members, products of the catalogue)."""
    shape = (past.n_members, past.n_products)
    cells = csr_matrix((values, past.repeats.products, past.repeats.offsets), shape=shape)
    return cells[:, np.flatnonzero(past.catalogue)]


def positive(scores: csr_matrix) -> Scores:
    """A dense block in which 0 is no word."""
    dense = scores.toarray()
    found: Scores = np.where(dense > 0, dense, dense.dtype.type(-np.inf))
    return found
