"""UP-CF: what similar members buy often and of late (Faggioli, Polato, Aiolli: Recency aware
collaborative filtering for next basket recommendation, UMAP 2020)."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from training.references.baskets import baskets
from training.references.recipe import Score, Scores, positive
from training.shop import Past

RECENCY = 10
"""baskets of which a product's share is taken"""
ASYMMETRY = 0.75
"""how much of the cosine's length is the member's own"""
LOCALITY = 10
"""power of the similarity: members far away say nothing"""


def fit(past: Past) -> Score:
    """Shares of the members' latest baskets, weighted by asymmetric cosine; one's own count 1.

    In float64: others often only decide between products that one bought equally often.
    """
    rows = baskets(past)
    late = rows.back < RECENCY
    usual = np.minimum(rows.sizes, RECENCY)[rows.members]
    shares = rows.weighted(late / usual)
    bought = rows.weighted(np.ones(len(rows.members)))
    bought.data[:] = 1
    lengths = np.maximum(np.diff(bought.indptr), 1).astype(np.float64)

    def score(members: NDArray[np.int32]) -> Scores:
        near = (bought[members] @ bought.T).tocoo()
        own, theirs = lengths[members[near.row]], lengths[near.col]
        cosine = near.data / (own**ASYMMETRY * theirs ** (1 - ASYMMETRY))
        weights = csr_matrix((cosine**LOCALITY, (near.row, near.col)), shape=near.shape)
        return positive(weights @ shares)

    return score
