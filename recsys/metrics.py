"""Ranking metrics over many members at once, as `evaluate` reports them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.integer]


@dataclass(frozen=True, slots=True)
class Scores:
    """Per member with truth, in the order of `members`."""

    members: NDArray[np.int64]
    recall: NDArray[np.float64]
    """hits / |truth|"""
    ndcg: NDArray[np.float64]
    """binary gain, the ideal being that of min(k, |truth|) hits"""
    hit_rate: NDArray[np.float64]
    """1 where anything was hit"""

    def means(self, only: NDArray[np.bool_] | None = None) -> dict[str, float]:
        """Means over members, or over some of them; NaN over none."""
        chosen = np.ones(len(self.members), np.bool_) if only is None else only
        return {
            name: float(getattr(self, name)[chosen].mean()) if chosen.any() else float("nan")
            for name in ("recall", "ndcg", "hit_rate")
        }


@dataclass(frozen=True, slots=True)
class Ranking:
    """Lists of at most k products: one entry a place, by member, then rank."""

    members: NDArray[np.int64]
    products: NDArray[np.int64]
    ranks: NDArray[np.int64]
    """from 0"""


def ranking(members: Ints, products: Ints, scores: NDArray[np.floating], *, k: int) -> Ranking:
    """Cut scored pairs to each member's k best; ties go to the smaller product row, and what
    scores -inf is not recommended."""
    real = scores > -np.inf
    members, products, scores = members[real], products[real], scores[real]
    order = np.lexsort((products, -scores, members))
    members, products = members[order], products[order]
    starts = np.flatnonzero(np.concatenate(([True], members[1:] != members[:-1])))
    if not len(members):
        starts = starts[:0]
    ranks = np.arange(len(members)) - np.repeat(starts, np.diff(np.append(starts, len(members))))
    kept = ranks < k
    return Ranking(
        members[kept].astype(np.int64),
        products[kept].astype(np.int64),
        ranks[kept].astype(np.int64),
    )


def evaluate(found: Ranking, truth_members: Ints, truth_products: Ints, *, k: int) -> Scores:
    """Score lists against distinct true pairs; members without truth are left out."""
    members, sizes = np.unique(truth_members, return_counts=True)
    width = int(max(found.products.max(initial=0), np.max(truth_products, initial=0))) + 1
    truth = truth_members.astype(np.int64) * width + truth_products
    counted = np.isin(found.members, members)
    hits = counted & np.isin(found.members * width + found.products, truth)
    owner = np.searchsorted(members, found.members[hits])
    gains = np.bincount(owner, 1 / np.log2(found.ranks[hits] + 2), len(members))
    ideal = np.concatenate(([1.0], np.cumsum(1 / np.log2(np.arange(k) + 2))))
    n_hits = np.bincount(owner, minlength=len(members))
    return Scores(
        members.astype(np.int64),
        n_hits / sizes,
        gains / ideal[np.minimum(sizes, k)],
        (n_hits > 0).astype(np.float64),
    )
