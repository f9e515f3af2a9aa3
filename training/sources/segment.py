"""Popular by segment: what those like the member (region, age band, tier, language) buy now,
shrunk to what everybody buys."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from training.shop import Past
from training.sources.candidates import Candidates
from training.sources.popular import WINDOW_DAYS
from training.sparse import cells, rows_of, top_cells

PRIOR_LINES = 1_000.0
"""of the whole shop, that a segment starts with: one with fewer lines of its own follows the shop
more than itself"""


@dataclass(frozen=True, slots=True)
class Segment:
    """One list for each segment; nothing is said of a member without one."""

    of_members: NDArray[np.int32]
    """shape (members,): code, -1 where unknown"""
    lines: csr_matrix
    """shape (segments, products): the segment's own lines in the window"""
    totals: NDArray[np.float64]
    """shape (segments,): the sum of a row"""
    share: NDArray[np.float64]
    """shape (products,): of the whole shop's lines, a little over 0"""
    lists: Candidates
    """of every segment"""

    def candidates(self, members: NDArray[np.int32]) -> Candidates:
        """See `Source`."""
        segments = self.of_members[members]
        known = np.flatnonzero(segments >= 0)
        rows, owners = rows_of(self.lists.offsets, segments[known])
        counts = np.bincount(known[owners], minlength=len(members))
        return Candidates(np.concatenate(([0], np.cumsum(counts))), self.lists.products[rows])

    def scores(
        self, members: NDArray[np.int32], products: NDArray[np.int32]
    ) -> NDArray[np.float32]:
        """The product's share of the segment's lines; 0 for a member without a segment."""
        segments = self.of_members[members]
        share = np.exp(self.lift(members, products)) * self.share[products]
        return np.where(segments >= 0, share, 0).astype(np.float32)

    def lift(self, members: NDArray[np.int32], products: NDArray[np.int32]) -> NDArray[np.float32]:
        """log of the product's share of the segment's lines against its share of the shop's."""
        segments = np.maximum(self.of_members[members], 0)
        own = cells(self.lines, segments, products)
        share, total = self.share[products], np.append(self.totals, 0)[segments]
        lift = np.log((own / share + PRIOR_LINES) / (total + PRIOR_LINES))
        return np.where(self.of_members[members] >= 0, lift, 0).astype(np.float32)


def fit(past: Past, *, size: int = 100) -> Segment:
    """Count the members' lines of the window by segment."""
    lines = past.purchases.where(past.purchases.days >= past.day - WINDOW_DAYS)
    everybody = np.bincount(lines.products, minlength=past.n_products) + 1.0
    segments = past.segments[lines.members]
    kept = (segments >= 0) & past.catalogue[lines.products]
    shape = (int(past.segments.max(initial=-1)) + 1, past.n_products)
    ones = np.ones(int(kept.sum()), np.float32)
    counts = csr_matrix((ones, (segments[kept], lines.products[kept])), shape=shape)
    counts.sum_duplicates()
    top = top_cells(counts, size)
    return Segment(
        past.segments,
        counts,
        np.asarray(counts.sum(axis=1), np.float64).ravel(),
        everybody / everybody.sum(),
        Candidates(top.indptr.astype(np.int64), top.indices),
    )
