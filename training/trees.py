"""The second stage: boosted trees over the best of what the blend found.

They see what a sum of shares cannot: that a product bought every week is not missed after two
days, or that taste counts for more with a member who hardly repeats.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys import features
from recsys.features import Floats
from training.config import TrainingSettings

COLUMNS = len(features.STATIC) + len(features.CLOCK)
"""all but the session, which serving adds by itself"""


@dataclass(frozen=True, slots=True)
class Listed:
    """Short-listed pairs of one lesson with what happened."""

    table: Floats
    """shape (pairs, len(features.NAMES))"""
    blended: Floats
    """the blend's logits, without the session"""
    repeated: NDArray[np.bool_]
    bought: NDArray[np.bool_]
    weight: Floats


@dataclass(frozen=True, slots=True)
class Trees:
    """Two classifiers, for repeats and for new products; None leaves the blend's word."""

    repeat: Any
    new: Any

    def logits(self, table: Floats, blended: Floats, repeated: NDArray[np.bool_]) -> Floats:
        """shape (pairs,): without the session. `blended` is the blend's, without it too."""
        found = blended.copy()
        for model, rows in ((self.repeat, repeated), (self.new, ~repeated)):
            if model is not None and rows.any():
                found[rows] = model.decision_function(_columns(table[rows], blended[rows]))
        return found


NO_TREES = Trees(None, None)


def shortlist(
    logits: Floats, members: NDArray[np.int32], repeated: NDArray[np.bool_],
    settings: TrainingSettings,
) -> NDArray[np.bool_]:  # fmt: skip
    """shape (pairs,): whether a pair is among its member's best repeats or best new products."""
    kept = np.zeros(len(logits), np.bool_)
    for kind, most in ((repeated, settings.listed_repeats), (~repeated, settings.listed_new)):
        rows = np.flatnonzero(kind)
        rows = rows[np.lexsort((-logits[rows], members[rows]))]
        starts = np.flatnonzero(np.diff(members[rows], prepend=-1))
        sizes = np.diff(np.append(starts, len(rows)))
        rank = np.arange(len(rows)) - np.repeat(starts, sizes)
        kept[rows[rank < most]] = True
    return kept


def fit(listed: list[Listed], settings: TrainingSettings) -> Trees:
    """Fit on the short lists of every lesson."""
    if not listed:
        return NO_TREES
    models = []
    for kind in (True, False):
        rows = [one.repeated == kind for one in listed]
        table = [
            _columns(one.table[at], one.blended[at]) for one, at in zip(listed, rows, strict=True)
        ]
        bought = [one.bought[at] for one, at in zip(listed, rows, strict=True)]
        weight = [one.weight[at] for one, at in zip(listed, rows, strict=True)]
        models.append(
            _fit(np.concatenate(table), np.concatenate(bought), np.concatenate(weight), settings)
        )
    return Trees(*models)


def _fit(
    table: Floats, bought: NDArray[np.bool_], weight: Floats, settings: TrainingSettings
) -> Any:
    from sklearn.ensemble import HistGradientBoostingClassifier  # noqa: PLC0415 half of a start-up

    if bought.sum() < settings.tree_positives or bought.all():
        return None
    model = HistGradientBoostingClassifier(
        max_iter=settings.trees,
        learning_rate=settings.tree_rate,
        max_leaf_nodes=settings.tree_leaves,
        min_samples_leaf=200,
        l2_regularization=5.0,
        max_bins=64,
        early_stopping=False,
        random_state=settings.seed,
    )
    return model.fit(table, bought, sample_weight=weight)


def _columns(table: Floats, blended: Floats) -> Floats:
    return np.column_stack((table[:, :COLUMNS], blended))
