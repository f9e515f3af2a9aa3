"""A past as each member's row of baskets, as next-basket papers see it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from training.orders import orders
from training.shop import Past
from training.sparse import distinct


@dataclass(frozen=True, slots=True)
class Baskets:
    """Each product of the catalogue that stands in a basket, once."""

    members: NDArray[np.int64]
    columns: NDArray[np.int64]
    """places in the catalogue"""
    back: NDArray[np.int64]
    """baskets of the member since: 0 is the latest"""
    sizes: NDArray[np.int64]
    """shape (members,): baskets of each member"""
    n_columns: int

    def weighted(self, weights: NDArray[np.float64]) -> csr_matrix:
        """shape (members, products of the catalogue): the sum of the weights of some entries."""
        shape = (len(self.sizes), self.n_columns)
        return csr_matrix((weights, (self.members, self.columns)), shape=shape)


def baskets(past: Past) -> Baskets:
    """Every order is a basket, those without a product of the catalogue too."""
    bought = past.purchases
    found = orders(bought)
    keys = distinct(found.lines * past.n_products + bought.products)
    order, product = keys // past.n_products, keys % past.n_products
    sold = past.catalogue[product]
    order, product = order[sold], product[sold]
    owner = np.repeat(np.arange(past.n_members), found.counts)[order]
    columns = (np.cumsum(past.catalogue) - 1)[product]
    back = found.offsets[owner + 1] - 1 - order
    return Baskets(owner, columns, back, found.counts, int(past.catalogue.sum()))
