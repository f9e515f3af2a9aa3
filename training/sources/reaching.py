"""Sources that reach from a member's past to products over a product of sparse matrices."""

from abc import ABC, abstractmethod

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from training.parallel import in_order, spans
from training.shop import Past
from training.sources.candidates import Candidates
from training.sparse import product_cells, top_cells, top_of_product

DECAY_DAYS = 60.0
SEEDS = 100
"""products of a member's past that point at others: those with the most decayed orders"""


AT_ONCE = 4096
"""products whose nearest are sought at once"""


class Reaching(ABC):
    """A source whose scores are paths: over the member's past, or members near, to products."""

    def __init__(self, size: int) -> None:
        self.size = size

    @abstractmethod
    def paths(self, members: NDArray[np.int32]) -> tuple[csr_matrix, csr_matrix]:
        """Two matrices whose product, shape (members, products), is what their past points at,
        and how much."""

    def candidates(self, members: NDArray[np.int32]) -> Candidates:
        """See `Source`."""
        found = top_of_product(*self.paths(members), self.size)
        return Candidates(found.indptr.astype(np.int64), found.indices)

    def scores(
        self, members: NDArray[np.int32], products: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """See `Source`."""
        asked, rows = np.unique(members, return_inverse=True)
        return product_cells(*self.paths(asked), rows, products)


class Seeded(Reaching):
    """Products that the member's past points at: decayed orders times similarity."""

    def __init__(self, similarity: csr_matrix, past: csr_matrix, size: int) -> None:
        super().__init__(size)
        self.similarity = similarity
        """shape (products, products), no diagonal"""
        self.past = top_cells(past, SEEDS)

    def paths(self, members: NDArray[np.int32]) -> tuple[csr_matrix, csr_matrix]:
        """See `Reaching`."""
        return self.past[members], self.similarity


def decayed_orders(past: Past) -> csr_matrix:
    """shape (members, products): orders weighted exp(-age / 60 days)."""
    weights = past.repeats.decayed(past.day, DECAY_DAYS)
    shape = (past.n_members, past.n_products)
    return csr_matrix((weights, past.repeats.products, past.repeats.offsets), shape=shape)


def of_catalogue(orders: csr_matrix, past: Past) -> csr_matrix:
    """The same, of the products that may be recommended."""
    kept = past.catalogue[orders.indices]
    starts = np.concatenate(([0], np.cumsum(kept)))[orders.indptr]
    return csr_matrix((orders.data[kept], orders.indices[kept], starts), shape=orders.shape)


def nearest(rows: csr_matrix, most: int) -> csr_matrix:
    """shape (columns, columns): for each column the `most` others with the largest dot product."""
    columns = rows.T.tocsr()
    near = vstack(
        in_order(
            lambda span: top_of_product(columns[span], rows, most + 1),
            spans(columns.shape[0], AT_ONCE),
        ),
        format="csr",
    )
    owners = np.repeat(np.arange(near.shape[0]), np.diff(near.indptr))
    others = near.indices != owners
    starts = np.concatenate(([0], np.cumsum(others)))[near.indptr]
    return csr_matrix((near.data[others], near.indices[others], starts), shape=near.shape)
