"""The lists that an evaluation scores: of the ranker, of each source, of each reference."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys import metrics
from recsys.metrics import Ranking
from training.evidence import Facts, Pairs
from training.ranker import CHUNK as AT_ONCE
from training.ranker import Ranker, rank
from training.references import CHUNK, References
from training.shop import Past
from training.sparse import distinct, rows_of

Rows = dict[str, Ranking]


@dataclass(frozen=True, slots=True)
class Task:
    """What one task counts: its true pairs, and which pairs may be recommended."""

    truth: Pairs
    repeated: bool | None
    """None: any pair"""

    def allows(self, repeated: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """shape (pairs,): of which pairs a list may be made."""
        return np.ones_like(repeated) if self.repeated is None else repeated == self.repeated


def our_rows(
    facts: Facts, ranker: Ranker, members: NDArray[np.int32],
    tasks: dict[str, Task], k: int,
) -> dict[str, Rows]:  # fmt: skip
    """Of every task: the ranker and each source alone, over the same candidates."""
    pieces: dict[str, dict[str, list[Ranking]]] = {task: {} for task in tasks}
    for low in range(0, len(members), AT_ONCE):
        pairs, collected, _, logits = rank(facts, ranker, members[low : low + AT_ONCE])
        repeated = collected.count > 0
        scored = {
            "popular": collected.popular_30,
            "segment": facts.sources.segment.scores(pairs.members, pairs.products),
            "own": collected.decayed_60,
            "together": collected.together,
            "similar": collected.similar,
            "neighbours": collected.neighbours,
            "taste": collected.taste,
            "ranker": logits,
        }
        for name, task in tasks.items():
            allowed = task.allows(repeated)
            for row, scores in scored.items():
                silent = (scores == 0) & (row != "ranker")
                kept = _masked(scores, allowed & ~silent)
                cut = metrics.ranking(pairs.members, pairs.products, kept, k=k)
                pieces[name].setdefault(row, []).append(cut)
    return {task: {row: _join(cuts) for row, cuts in rows.items()} for task, rows in pieces.items()}


def reference_rows(
    fitted: References, past: Past, members: NDArray[np.int32],
    tasks: dict[str, Task], k: int,
) -> dict[str, Rows]:  # fmt: skip
    """Of every task: each reference, over the whole catalogue."""
    pieces: dict[str, dict[str, list[Ranking]]] = {task: {} for task in tasks}
    products = np.flatnonzero(past.catalogue)
    place = np.full(past.n_products, -1)
    place[products] = np.arange(len(products))
    for low in range(0, len(members), CHUNK):
        rows = members[low : low + CHUNK]
        at, owners = rows_of(past.repeats.offsets, rows)
        owned = place[past.repeats.products[at]]
        owners, owned = owners[owned >= 0], owned[owned >= 0]
        bought = owners * len(products) + owned
        most = 4 * k + int(np.bincount(owners, minlength=1).max())
        for reference in fitted.names:
            block = fitted.block(reference, rows)
            # the best of all products hold the best new ones too: nobody owns more than `most`
            above, columns = _best_of_block(block, most)
            pairs = distinct(np.concatenate((above * len(products) + columns, bought)))
            above, columns = np.divmod(pairs, len(products))
            scores, repeated = block[above, columns], np.isin(pairs, bought)
            for name, task in tasks.items():
                kept = _masked(scores, task.allows(repeated))
                cut = metrics.ranking(rows[above], products[columns], kept, k=k)
                pieces[name].setdefault(reference, []).append(cut)
    return {task: {row: _join(cuts) for row, cuts in rows.items()} for task, rows in pieces.items()}


def _best_of_block(
    block: NDArray[np.floating], most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The row and column of each row's largest cells. A few more than k, so that ties are cut
    alike."""
    most = min(most, block.shape[1])
    columns = np.argpartition(-block, most - 1, axis=1)[:, :most]
    return np.repeat(np.arange(len(block)), most), columns.ravel()


def _masked(scores: NDArray[np.floating], allowed: NDArray[np.bool_]) -> NDArray[np.floating]:
    return np.where(allowed, scores, scores.dtype.type(-np.inf))


def _join(cuts: list[Ranking]) -> Ranking:
    return Ranking(
        np.concatenate([cut.members for cut in cuts]),
        np.concatenate([cut.products for cut in cuts]),
        np.concatenate([cut.ranks for cut in cuts]),
    )
