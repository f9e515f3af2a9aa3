"""Similar: products that the same members buy, by BM25-weighted histories that fade."""

from implicit.nearest_neighbours import bm25_weight
from scipy.sparse import csr_matrix

from training.shop import Past
from training.sources.reaching import Seeded, decayed_orders, nearest, of_catalogue
from training.sparse import top_cells

KEPT_PRODUCTS = 150
"""of one member: a reseller's thousands would cost their square and say little"""


def fit(past: Past, *, neighbours: int = 200, size: int = 100) -> Seeded:
    """For each product the `neighbours` whose buyers resemble its own most."""
    return Seeded(nearest(weighted_pasts(past), neighbours), decayed_orders(past), size)


def weighted_pasts(past: Past) -> csr_matrix:
    """shape (members, products): the dot product of two columns is how alike their buyers are."""
    kept = top_cells(of_catalogue(decayed_orders(past), past), KEPT_PRODUCTS)
    return bm25_weight(kept.T.tocsr(), K1=1.2, B=0.75).T.tocsr()
