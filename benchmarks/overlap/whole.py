"""Every product of the catalogue scored for a member, with nothing cut short: the slow twin of what
base lists and serving do."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags

from recsys import features
from training import evidence
from training.evidence import Facts, Pairs
from training.ranker import Ranker
from training.sources import similar, together
from training.sources.reaching import Seeded
from training.sparse import product_cells

Mask = NDArray[np.bool_]
Rows = NDArray[np.int32]


class Untruncated(Seeded):
    """Products that the past points at, through all similarities instead of the largest."""

    def __init__(self, like: Seeded, weighted: csr_matrix) -> None:
        """weighted: whose columns' dot products are the similarities, shape (…, products)."""
        super().__init__(like.similarity, like.past, like.size)
        self._weighted = weighted
        self._reached = weighted.T.tocsr()
        # a product does not point at itself
        self._itself = np.asarray(weighted.multiply(weighted).sum(axis=0)).ravel()

    def scores(self, members: Rows, products: Rows) -> NDArray[np.float32]:
        """See `Source`."""
        asked, rows = np.unique(members, return_inverse=True)
        return self.from_seeds(self.past[asked], rows, products)

    def from_seeds(
        self, seeds: csr_matrix, rows: NDArray[np.integer], products: Rows
    ) -> NDArray[np.float32]:
        """shape (pairs,): what rows of seeds (shape (…, products)) point at, and how much."""
        through = (seeds @ self._reached).tocsr()
        found = product_cells(through, self._weighted, rows, products)
        own = np.asarray((seeds @ diags(self._itself))[rows, products]).ravel()
        rest: NDArray[np.float32] = np.maximum(found - own, 0).astype(np.float32)
        return rest


@dataclass(frozen=True, slots=True)
class Scored:
    """The catalogue for one member. Every array has shape (catalogue,)."""

    products: Rows
    table: features.Floats
    repeated: Mask


def untruncated(facts: Facts) -> Facts:
    """The same facts with item–item scores over all neighbours. Taste has always been whole."""
    by_order = together.weighted_orders(facts.past)
    sources = replace(
        facts.sources,
        together=Untruncated(facts.sources.together, by_order),
        similar=Untruncated(facts.sources.similar, similar.weighted_pasts(facts.past)),
    )
    return replace(facts, sources=sources, latest=Untruncated(facts.latest, by_order))


def scored(facts: Facts, member: int) -> Scored:
    """All features of a member with every product of the catalogue, without a session."""
    products = np.flatnonzero(facts.past.catalogue).astype(np.int32)
    pairs = Pairs(np.full(len(products), member, np.int32), products)
    collected = evidence.collect(replace(facts, sessions=None), pairs)
    return Scored(products, evidence.table(facts, collected), collected.count > 0)


def best(ranker: Ranker, member: Scored, allowed: Mask, groups: Rows, limit: int) -> Rows:
    """The `limit` best of the allowed products (a mask over all), one variant of each group."""
    rows = np.flatnonzero(allowed[member.products])
    logits = ranker.logits(member.table[rows], np.zeros(len(rows), np.int32), member.repeated[rows])
    order = np.argsort(-logits, kind="stable")
    ranked = member.products[rows[order[logits[order] > -np.inf]]]
    group = np.where(groups[ranked] >= 0, groups[ranked], -1 - ranked)
    first = np.sort(np.unique(group, return_index=True)[1])
    return ranked[first][:limit]
