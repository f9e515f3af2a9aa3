"""Products too new to be ranked: who may like them, so that they are shown at all.

What nobody has bought yet no evidence speaks for but its category, brand and promotion. A stated
share of the places goes to such products, to the members whom these speak to most.
"""

import numpy as np
from numpy.typing import NDArray

from recsys import features
from recsys.scoring import Blend
from training import evidence
from training.config import TrainingSettings
from training.evidence import Facts, Pairs
from training.parallel import in_order, spans
from training.shop import Past

EACH = 4
"""new products kept for a member, who sees them in turns"""
MOST = 64
"""new products that are matched with members, the latest first"""
CHUNK = 4096


def unranked(past: Past, settings: TrainingSettings) -> NDArray[np.int32]:
    """Products launched lately that are not in the catalogue yet, the latest launch first."""
    if not settings.exploring:
        return np.zeros(0, np.int32)
    lately = past.launched >= past.day - settings.new_days
    rows = np.flatnonzero(lately & ~past.catalogue)
    latest = rows[np.argsort(-past.launched[rows], kind="stable")]
    return latest[:MOST].astype(np.int32)


def matched(facts: Facts, blend: Blend, products: NDArray[np.int32]) -> NDArray[np.int32]:
    """shape (members, at most EACH): the best of some products for each member, best first; -1
    where it has bought one of them already and too few are left."""
    n_members = facts.past.n_members
    found = np.full((n_members, min(EACH, len(products))), -1, np.int32)
    if not len(products):
        return found
    ascending = np.sort(products)

    def match(span: slice) -> None:
        members = np.arange(span.start, span.stop, dtype=np.int32)
        pairs = Pairs(np.repeat(members, len(ascending)), np.tile(ascending, len(members)))
        collected = evidence.collect(facts, pairs)
        bought = collected.count > 0
        logits = blend.logits(evidence.table(facts, collected), bought)
        block = np.where(bought, -np.inf, logits).reshape(len(members), len(ascending))
        best = np.argsort(-block, axis=1, kind="stable")[:, :EACH]
        open_ = np.take_along_axis(block, best, axis=1) > -np.inf
        found[members] = np.where(open_, ascending[best], -1)

    in_order(match, spans(n_members, CHUNK))
    return found


def for_anybody(facts: Facts, blend: Blend, products: NDArray[np.int32]) -> NDArray[np.int32]:
    """The same products in the order of a stranger's chances."""
    table = features.static(evidence.of_nobody(facts))[products]
    scores = blend.static_logits(table, np.zeros(len(products), np.bool_))
    return products[np.argsort(-scores, kind="stable")]


def lately_sold(past: Past, settings: TrainingSettings) -> NDArray[np.bool_]:
    """shape (products,): products of the catalogue that were launched lately; where no launch is
    known, first sold lately, in a log that began well before."""
    bought = past.purchases
    first = np.full(past.n_products, np.inf)
    np.minimum.at(first, bought.products, bought.days)
    begun = bought.days.min() if len(bought.days) else past.day
    first[first < begun + settings.new_days] = -np.inf
    launched = np.where(np.isnan(past.launched), first, past.launched)
    return past.catalogue & (launched >= past.day - settings.new_days) & np.isfinite(launched)
