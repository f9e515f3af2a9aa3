"""Own purchases: what the member bought before, fading with time."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from training.shop import Past
from training.sources.candidates import Candidates
from training.sources.reaching import decayed_orders, of_catalogue
from training.sparse import cells, rows_of, top_cells

KEPT_PRODUCTS = 300
"""candidates of one member: a shop's buyers and resellers can have thousands of products"""


@dataclass(frozen=True, slots=True)
class Own:
    """Every product of the catalogue that the member has bought."""

    decayed: csr_matrix
    """shape (members, products)"""
    kept: Candidates
    """of every member: the KEPT_PRODUCTS of the catalogue with the most decayed orders"""

    def candidates(self, members: NDArray[np.int32]) -> Candidates:
        """See `Source`."""
        rows, owners = rows_of(self.kept.offsets, members)
        counts = np.bincount(owners, minlength=len(members))
        return Candidates(np.concatenate(([0], np.cumsum(counts))), self.kept.products[rows])

    def scores(
        self, members: NDArray[np.int32], products: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """Orders weighted exp(-age / 60 days); 0 for what was never bought."""
        return cells(self.decayed, members, products)


def fit(past: Past) -> Own:
    """Fold the purchases; nothing is learned."""
    decayed = decayed_orders(past)
    kept = top_cells(of_catalogue(decayed, past), KEPT_PRODUCTS)
    return Own(decayed, Candidates(kept.indptr.astype(np.int64), kept.indices))
