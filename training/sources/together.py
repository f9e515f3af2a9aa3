"""Bought together: products of one order point at each other, by cosine over orders."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys.history import History
from training.shop import Past
from training.sources.reaching import Seeded, decayed_orders, nearest
from training.sparse import product_cells

LATEST_ORDERS = 3
"""of a member: what was begun in them is still being completed"""


def fit(past: Past, *, neighbours: int = 50, size: int = 100) -> Seeded:
    """Cosine between products over orders, of members and strangers alike."""
    return Seeded(similarity(past, neighbours=neighbours), decayed_orders(past), size)


def from_latest(past: Past, fitted: Seeded) -> Seeded:
    """The same similarity, seeded by each member's latest orders alone."""
    seeds = past.repeats.latest(LATEST_ORDERS)
    kept = seeds > 0
    starts = np.concatenate(([0], np.cumsum(kept)))[past.repeats.offsets]
    shape = (past.n_members, past.n_products)
    orders = csr_matrix((seeds[kept], past.repeats.products[kept], starts), shape=shape)
    return Seeded(fitted.similarity, orders, fitted.size)


@dataclass(frozen=True, slots=True)
class Counts:
    """Orders behind a similarity: facts that anyone can count again."""

    all: int
    of_product: NDArray[np.int32]
    """shape (products,): orders that hold it"""
    of_pair: NDArray[np.int32]
    """shape (cells of the similarity,): orders that hold both"""


def counts(past: Past, similarity: csr_matrix) -> Counts:
    """Count the orders, of members and strangers alike, behind each cell of a similarity."""
    orders, products = _lines(past.purchases, past.strangers.purchases())
    shape = (int(orders.max(initial=-1)) + 1, past.n_products)
    holds = csr_matrix((np.ones(len(orders), np.float32), (orders, products)), shape=shape)
    holds.data[:] = 1  # one that goes on after midnight has two lines of a product
    of_order = holds.T.tocsr()
    owners = np.repeat(np.arange(similarity.shape[0]), np.diff(similarity.indptr))
    both = product_cells(of_order, holds, owners, similarity.indices)
    return Counts(
        int(np.diff(holds.indptr).astype(np.bool_).sum()),
        np.diff(of_order.indptr).astype(np.int32),
        both.round().astype(np.int32),
    )


def similarity(past: Past, *, neighbours: int) -> csr_matrix:
    """shape (products, products): for each product, those most often in one order with it."""
    return nearest(weighted_orders(past), neighbours)


def weighted_orders(past: Past) -> csr_matrix:
    """shape (orders, products): the dot product of two columns is their cosine."""
    orders, products = _lines(past.purchases, past.strangers.purchases())
    allowed = past.catalogue[products]
    orders, products = orders[allowed], products[allowed]
    norms = np.sqrt(np.maximum(np.bincount(products, minlength=past.n_products), 1))
    shape = (int(orders.max(initial=-1)) + 1, past.n_products)
    return csr_matrix(((1 / norms)[products], (orders, products)), shape=shape)


def _lines(*histories: History) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    orders = np.concatenate([history.orders for history in histories])
    return orders, np.concatenate([history.products for history in histories])
