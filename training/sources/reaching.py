"""Sources that reach from a member's past to products over a sparse product."""

from abc import ABC, abstractmethod
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from training.shop import Past
from training.sources.candidates import Candidates
from training.sparse import cells, top_cells

CHUNK = 1024
"""members multiplied at once: with 10,000 products reached by each, 100 MB"""
DECAY_DAYS = 60.0
SEEDS = 100
"""products of a member's past that point at others: those with the most decayed orders"""


class Reaching(ABC):
    """A source whose scores for a chunk of members are one sparse matrix."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._asked = np.zeros(0, np.int32)
        self._found: csr_matrix | None = None

    @abstractmethod
    def reach(self, members: NDArray[np.int32]) -> csr_matrix:
        """shape (members, products): what their past points at, and how much."""

    def candidates(self, members: NDArray[np.int32]) -> Candidates:
        """See `Source`."""
        parts = [
            top_cells(self._reached(members[start : start + CHUNK]), self.size)
            for start in range(0, len(members), CHUNK)
        ]
        counts = np.concatenate([np.diff(part.indptr) for part in parts])
        products = np.concatenate([part.indices for part in parts])
        return Candidates(np.concatenate(([0], np.cumsum(counts))), products)

    def scores(
        self, members: NDArray[np.int32], products: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """See `Source`."""
        found = np.zeros(len(products), np.float32)
        unique, owners = np.unique(members, return_inverse=True)
        bounds = np.searchsorted(owners, np.arange(0, len(unique) + CHUNK, CHUNK))
        for start, (low, high) in enumerate(pairwise(bounds.tolist())):
            reached = self._reached(unique[start * CHUNK : (start + 1) * CHUNK])
            found[low:high] = cells(reached, owners[low:high] - start * CHUNK, products[low:high])
        return found

    def _reached(self, members: NDArray[np.int32]) -> csr_matrix:
        """The last answer is kept: a chunk's candidates are scored next."""
        if self._found is None or not np.array_equal(self._asked, members):
            self._asked, self._found = members, self.reach(members)
        return self._found


class Seeded(Reaching):
    """Products that the member's past points at: decayed orders times similarity."""

    def __init__(self, similarity: csr_matrix, past: csr_matrix, size: int) -> None:
        super().__init__(size)
        self.similarity = similarity
        """shape (products, products), no diagonal"""
        self.past = top_cells(past, SEEDS)

    def reach(self, members: NDArray[np.int32]) -> csr_matrix:
        """See `Reaching`."""
        return self.past[members] @ self.similarity


def decayed_orders(past: Past) -> csr_matrix:
    """shape (members, products): orders weighted exp(-age / 60 days)."""
    weights = past.repeats.decayed(past.day, DECAY_DAYS)
    shape = (past.n_members, past.n_products)
    return csr_matrix((weights, past.repeats.products, past.repeats.offsets), shape=shape)


def of_catalogue(orders: csr_matrix, past: Past) -> csr_matrix:
    """The same, of the products that may be recommended."""
    kept = orders.multiply(past.catalogue).tocsr()
    kept.eliminate_zeros()
    return kept
