"""The strong simple rankings that every evaluation is compared with. Fixed recipes: never
tuned, never shared with the model's own sources."""

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.nearest_neighbours import all_pairs_knn, bm25_weight
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recsys.features import Floats
from training.shop import Past

NAMES = ("popular", "repeat", "als", "bm25")
CHUNK = 256
"""members scored at once, as a dense block over the catalogue"""


class References:
    """The four rankings fitted on one past; `block` scores some members over all products."""

    def __init__(self, past: Past) -> None:
        self.past = past
        pairs = past.repeats
        shape = (past.n_members, past.n_products)
        counts = np.log1p(pairs.counts).astype(np.float32)
        self._catalogue = np.flatnonzero(past.catalogue)
        decayed = pairs.decayed(past.day, 60.0)
        self._decayed = csr_matrix((decayed, pairs.products, pairs.offsets), shape=shape)
        liked = csr_matrix((counts, pairs.products, pairs.offsets), shape=shape)
        self._fit_als(liked[:, self._catalogue])
        # what implicit's BM25Recommender does, whose own fit warns of a matrix that it made
        weighted = bm25_weight(self._decayed[:, self._catalogue].T, K1=1.2, B=0.75).T.tocsr()
        self._near = all_pairs_knn(weighted, 200, show_progress=False).tocsr()
        recent = past.purchases.products[past.purchases.days >= past.day - 30]
        self._popular = np.bincount(recent, minlength=past.n_products)[self._catalogue]

    def _fit_als(self, liked: csr_matrix) -> None:
        with threadpool_limits(1, "blas"):
            model = AlternatingLeastSquares(
                factors=64, iterations=15, regularization=1.0, alpha=1.0, random_state=1
            )
            model.fit(liked, show_progress=False)
        self._members, self._products = model.user_factors, model.item_factors

    def block(self, name: str, members: NDArray[np.int32]) -> Floats:
        """shape (members, products): scores; -inf for what the ranking has no word on."""
        scores = np.full((len(members), self.past.n_products), -np.inf, np.float32)
        scores[:, self._catalogue] = self._dense(name, members)
        return scores

    def _dense(self, name: str, members: NDArray[np.int32]) -> Floats:
        if name == "popular":
            return np.tile(self._popular.astype(np.float32), (len(members), 1))
        if name == "als":
            found: Floats = self._members[members] @ self._products.T
            return found
        own = self._decayed[members][:, self._catalogue]
        reached = (own if name == "repeat" else own @ self._near).toarray()
        return np.where(reached > 0, reached, np.float32(-np.inf))
