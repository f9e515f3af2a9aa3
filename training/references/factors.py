"""What `implicit` gives with the obvious settings: factors, and items near each other."""

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.nearest_neighbours import all_pairs_knn, bm25_weight
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys.features import Floats
from training.references.counts import decayed
from training.references.recipe import Score, catalogue_cells, positive
from training.shop import Past


def als(past: Past) -> Score:
    """64 factors, 15 iterations, λ 1, α 1, on log1p of the counts."""
    liked = catalogue_cells(past, np.log1p(past.repeats.counts).astype(np.float32))
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=64, iterations=15, regularization=1.0, alpha=1.0, random_state=1
        )
        model.fit(liked, show_progress=False)
    theirs, products = model.user_factors, model.item_factors

    def score(members: NDArray[np.int32]) -> Floats:
        found: Floats = theirs[members] @ products.T
        return found

    return score


def bm25(past: Past) -> Score:
    """Item–item, the 200 nearest, on history that fades with 60 days."""
    own = decayed(past)
    # what implicit's BM25Recommender does, whose own fit warns of a matrix that it made
    weighted = bm25_weight(csr_matrix(own.T), K1=1.2, B=0.75).T.tocsr()
    near = all_pairs_knn(weighted, 200, show_progress=False).tocsr()
    return lambda members: positive(own[members] @ near)
