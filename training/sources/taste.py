"""Taste: implicit-feedback matrix factorisation (Hu, Koren, Volinsky 2008) by alternating
least squares, through `implicit`. Only the factors are kept: its recommend() pads short
answers with items already liked at score -3.4e38."""

from dataclasses import dataclass

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from training.shop import Past
from training.sources.candidates import Candidates
from training.sparse import dots, top_of_rows

CHUNK = 512
"""members scored at once: 512 x 100,000 products x 4 bytes = 200 MB"""


@dataclass(frozen=True, slots=True)
class Taste:
    """Factors of members and products; a score is their dot product."""

    member_factors: NDArray[np.float32]
    product_factors: NDArray[np.float32]
    """shape (products, factors): zero rows for what is not in the catalogue"""
    catalogue: NDArray[np.int32]
    """product rows, ascending"""
    size: int

    def candidates(self, members: NDArray[np.int32]) -> Candidates:
        """See `Source`."""
        columns = self.product_factors[self.catalogue].T
        parts = []
        for start in range(0, len(members), CHUNK):
            block = self.member_factors[members[start : start + CHUNK]]
            parts.append(top_of_rows(block @ columns, self.size))
        counts = np.concatenate([np.diff(offsets) for offsets, _ in parts])
        products = np.concatenate([products for _, products in parts])
        return Candidates(np.concatenate(([0], np.cumsum(counts))), self.catalogue[products])

    def scores(
        self, members: NDArray[np.int32], products: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """The dot products of the pairs."""
        return dots(self.member_factors, self.product_factors, members, products)


DECAY_DAYS = 120.0
"""taste changes more slowly than what is due again"""
SPARSE = 0.002
"""share of the cells of members x products that are filled; in an emptier matrix taste takes many
dimensions, each of them held down, and more iterations, and a purchase is worth much more than
silence"""
LEARNING = 2.2e10
"""factors squared x (members + products), at most: about 5 s an iteration on two cores"""
SCORING = 2e12
"""factors x members x products, at most: about half a minute for the pass over members"""
FEWEST = 64
"""factors, of any shop"""


def fit(
    past: Past,
    *,
    seed: int,
    factors: int | None = None,
    iterations: int | None = None,
    size: int = 100,
) -> Taste:
    """Factorise log1p(decayed orders) of the catalogue's products; None chooses by density."""
    pairs = past.repeats
    weights = np.log1p(pairs.decayed(past.day, DECAY_DAYS))
    matrix = csr_matrix(
        (weights, pairs.products, pairs.offsets), shape=(past.n_members, past.n_products)
    )
    columns = np.flatnonzero(past.catalogue).astype(np.int32)
    active = int((np.diff(pairs.offsets) > 0).sum())
    sparse = len(weights) < SPARSE * active * len(columns)
    chosen = factors or (_many(active, len(columns)) if sparse else FEWEST)
    with threadpool_limits(1, "blas"):  # implicit's own threads fight BLAS threads, and it warns
        model = AlternatingLeastSquares(
            factors=min(chosen, max(1, len(columns))),
            regularization=5.0 if sparse else 10.0,
            alpha=20.0 / np.log(2) if sparse else 5.0,  # one order is worth 20
            iterations=iterations or (12 if sparse else 6),
            random_state=seed,
            num_threads=0,
        )
        model.fit(matrix[:, columns], show_progress=False)
    products = np.zeros((past.n_products, model.factors), np.float32)
    products[columns] = model.item_factors
    return Taste(np.asarray(model.user_factors, np.float32), products, columns, size)


def _many(members: int, products: int) -> int:
    """The dimension of a sparse shop, as large as the time allows."""
    learned = np.sqrt(LEARNING / max(members + products, 1))
    scored = SCORING / max(members * products, 1)
    return max(FEWEST, int(min(512, learned, scored)))
