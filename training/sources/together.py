"""Bought together: products of one order point at each other, by cosine over orders."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from implicit.nearest_neighbours import all_pairs_knn
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.history import History
from training.shop import Past
from training.sources.candidates import Candidates
from training.sparse import cells, top_cells

DECAY_DAYS = 60.0
SEEDS = 100
"""products of a member's past that point at others: those with the most decayed orders"""
CHUNK = 2048
"""members multiplied at once; a row has at most SEEDS x neighbours cells: 100 MB"""


@dataclass(frozen=True, slots=True)
class Together:
    """Neighbours of every product, and what each member's past points at."""

    similarity: csr_matrix
    """shape (products, products): cosine, at most `neighbours` a row, no diagonal"""
    past: csr_matrix
    """shape (members, products): decayed orders"""
    size: int

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
        """Sum of decayed orders times cosine over what the member bought."""
        found = np.zeros(len(products), np.float32)
        unique, owners = np.unique(members, return_inverse=True)
        bounds = np.searchsorted(owners, np.arange(0, len(unique) + CHUNK, CHUNK))
        for start, (low, high) in enumerate(pairwise(bounds.tolist())):
            reached = self._reached(unique[start * CHUNK : (start + 1) * CHUNK])
            found[low:high] = cells(reached, owners[low:high] - start * CHUNK, products[low:high])
        return found

    def _reached(self, members: NDArray[np.int32]) -> csr_matrix:
        return self.past[members] @ self.similarity


def fit(past: Past, *, neighbours: int = 50, size: int = 100) -> Together:
    """Cosine between products over orders, of members and strangers alike."""
    weights = past.repeats.decayed(past.day, DECAY_DAYS)
    shape = (past.n_members, past.n_products)
    owned = csr_matrix((weights, past.repeats.products, past.repeats.offsets), shape=shape)
    return Together(similarity(past, neighbours=neighbours), top_cells(owned, SEEDS), size)


def similarity(past: Past, *, neighbours: int) -> csr_matrix:
    """shape (products, products): for each product, those most often in one order with it."""
    orders, products = _lines(past.purchases, past.strangers.purchases())
    allowed = past.catalogue[products]
    orders, products = orders[allowed], products[allowed]
    norms = np.sqrt(np.maximum(np.bincount(products, minlength=past.n_products), 1))
    shape = (int(orders.max(initial=-1)) + 1, past.n_products)
    lines = csr_matrix(((1.0 / norms)[products], (orders, products)), shape=shape)
    near = all_pairs_knn(lines, neighbours + 1, show_progress=False).tocsr()
    near.setdiag(0)
    near.eliminate_zeros()
    return near.astype(np.float32)


def _lines(*histories: History) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    orders = np.concatenate([history.orders for history in histories])
    return orders, np.concatenate([history.products for history in histories])
