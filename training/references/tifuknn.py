"""TIFUKNN: own baskets, fading, and those of the nearest members (Hu, He, Gao, Zhang: Modeling
personalized item frequency information for next-basket recommendation, SIGIR 2020)."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from training.references.baskets import Baskets, baskets
from training.references.recipe import Score, Scores, positive
from training.shop import Past

NEIGHBOURS = 300
WITHIN_DECAY = 0.9
"""from one basket of a group to the one before"""
GROUP_DECAY = 0.7
"""from one group to the one before"""
OWN_SHARE = 0.7
"""α: how much of the score is the member's own, the rest the neighbours'"""
GROUP_SIZE = 7
"""baskets of a group, counted from the latest; the oldest group has what is left"""


def fit(past: Past) -> Score:
    """Personal frequencies, mixed with the mean of those of the nearest by Euclidean distance."""
    frequencies = personal_frequencies(baskets(past))
    lengths = np.asarray(frequencies.multiply(frequencies).sum(axis=1)).ravel()
    active = np.flatnonzero(np.diff(frequencies.indptr))
    others = frequencies[active]

    def score(members: NDArray[np.int32]) -> Scores:
        own = frequencies[members]
        apart = lengths[active] - 2 * (own @ others.T).toarray()  # less the member's own length
        apart[members[:, None] == active[None, :]] = np.inf
        most = min(NEIGHBOURS, len(active) - 1)
        if most < 1:
            return positive(OWN_SHARE * own)
        nearest = np.argpartition(apart, most - 1, axis=1)[:, :most]
        offsets = np.arange(0, nearest.size + 1, most)
        mean = csr_matrix((np.full(nearest.size, 1 / most), nearest.ravel(), offsets))
        mean.resize(len(members), len(active))
        return positive(OWN_SHARE * own + (1 - OWN_SHARE) * (mean @ others))

    return score


def personal_frequencies(rows: Baskets) -> csr_matrix:
    """shape (members, products of the catalogue): the mean over groups of their fading means."""
    sizes = rows.sizes[rows.members]
    group = rows.back // GROUP_SIZE
    in_group = np.minimum(GROUP_SIZE, sizes - group * GROUP_SIZE)
    groups = -(-sizes // GROUP_SIZE)
    basket = WITHIN_DECAY ** (rows.back % GROUP_SIZE) / in_group
    return rows.weighted(basket * GROUP_DECAY**group / groups)
