"""Neighbours: what members with a like recent past buy (user-based nearest neighbours).

A past is a vector of faded orders times the rarity of the product (tf-idf); likeness is the
cosine.
"""

import threading

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from training.shop import Past
from training.sources.reaching import Reaching, decayed_orders, of_catalogue
from training.sparse import top_cells, top_of_product

KEPT_PRODUCTS = 100
"""of one member's past: those that tell it most from others"""
POOL = 50_000
"""members who may be neighbours; more are sampled down, evenly"""


class Neighbours(Reaching):
    """Sums the orders of the nearest members, each capped at one order, by likeness."""

    def __init__(self, pasts: csr_matrix, orders: csr_matrix, near: int, size: int) -> None:
        super().__init__(size)
        self.pasts = pasts
        """shape (members, products), rows of length 1"""
        active = np.flatnonzero(np.diff(orders.indptr))
        step = max(1, -(-len(active) // POOL))
        self.pool = active[::step].astype(np.int32)
        self._pool_pasts = pasts[self.pool].T.tocsr()
        self._pool_orders = orders[self.pool]
        self._pool_orders.data = np.minimum(self._pool_orders.data, 1)
        self.near = near
        self._last = threading.local()

    def paths(self, members: NDArray[np.int32]) -> tuple[csr_matrix, csr_matrix]:
        """See `Reaching`. The last answer is kept: a thread's candidates are scored next."""
        asked, nearest = getattr(self._last, "answer", (None, None))
        if asked is None or not np.array_equal(asked, members):
            nearest = self._near(members)
            self._last.answer = members, nearest
        return nearest, self._pool_orders

    def _near(self, members: NDArray[np.int32]) -> csr_matrix:
        near = top_of_product(self.pasts[members], self._pool_pasts, self.near + 1)
        owners = np.repeat(members, np.diff(near.indptr))
        near.data[self.pool[near.indices] == owners] = 0  # nobody is their own neighbour
        return near


def fit(past: Past, *, near: int = 100, size: int = 100) -> Neighbours:
    """Weigh the pasts; nothing is learned."""
    orders = of_catalogue(decayed_orders(past), past)
    buyers = np.bincount(orders.indices, minlength=past.n_products)
    rarity = np.log((past.n_members + 1) / np.maximum(buyers, 1)).astype(np.float32)
    pasts = orders.copy()
    pasts.data = np.log1p(pasts.data) * rarity[pasts.indices]
    pasts = top_cells(pasts, KEPT_PRODUCTS)
    lengths = np.sqrt(np.bincount(_owners(pasts), pasts.data**2, past.n_members))
    pasts = diags((1 / np.maximum(lengths, 1e-9)).astype(np.float32)) @ pasts
    return Neighbours(pasts.tocsr(), orders, near, size)


def _owners(matrix: csr_matrix) -> NDArray[np.int64]:
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
