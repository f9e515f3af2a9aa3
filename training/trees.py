"""The second stage: boosted trees over the best of what the blend found.

They see what a sum of shares cannot: that a product bought every week is not missed after two
days, or that taste counts for more with a member who hardly repeats.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys import features
from recsys.features import Floats
from training.config import TrainingSettings
from training.parallel import in_order

if TYPE_CHECKING:
    from lightgbm import Booster

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
    members: NDArray[np.int32]
    """ascending"""


@dataclass(frozen=True, slots=True)
class Order:
    """Trees that learned which of a member's pairs to put first (LambdaRank, Burges 2010).

    A chance is right on average; at the top of a list it need not be. What this order says beyond
    the chances, which it repeats for the most part, is the residual of a line through them.
    """

    trees: "Booster"
    lines: tuple[tuple[float, float], tuple[float, float]]
    """offset and slope, of new products and of repeats"""

    def beyond(self, table: Floats, logits: Floats, repeated: NDArray[np.bool_]) -> Floats:
        """shape (pairs,): a score without the part that the logits tell."""
        offset, slope = np.array(self.lines)[repeated.astype(np.intp)].T
        found = self.trees.predict(table, raw_score=True) - offset - slope * logits
        return np.asarray(found, np.float32)


@dataclass(frozen=True, slots=True)
class Trees:
    """Chances of repeats and of new products, and an order; None leaves the blend's word."""

    repeat: "Booster | None"
    new: "Booster | None"
    order: Order | None

    def logits(self, table: Floats, blended: Floats, repeated: NDArray[np.bool_]) -> Floats:
        """shape (pairs,): without the session. `blended` is the blend's, without it too."""
        columns = _columns(table, blended)
        found = _chances(self.repeat, self.new, columns, repeated)
        if self.order is not None and len(found):
            found += ORDER_WEIGHT * self.order.beyond(columns, found, repeated)
        return found


NO_TREES = Trees(None, None, None)


def shortlist(
    logits: Floats, members: NDArray[np.int32], repeated: NDArray[np.bool_], *,
    repeats: int, new: int,
) -> NDArray[np.bool_]:  # fmt: skip
    """shape (pairs,): whether a pair is among its member's best repeats or best new products."""
    kept = np.zeros(len(logits), np.bool_)
    for kind, most in ((repeated, repeats), (~repeated, new)):
        rows = np.flatnonzero(kind)
        kept[rows[best(logits[rows], members[rows], most)]] = True
    return kept


def best(scores: Floats, lists: NDArray[np.integer], most: int) -> NDArray[np.int64]:
    """Rows, ascending, of the `most` highest scores of each list, whose rows stand together."""
    sizes = _sizes(lists)
    starts = np.cumsum(sizes) - sizes
    order = np.lexsort((-scores, np.repeat(np.arange(len(sizes)), sizes)))
    rank = np.arange(len(order)) - np.repeat(starts, sizes)
    return np.sort(order[rank < most])


def fit(listed: list[Listed], settings: TrainingSettings) -> Trees:
    """Fit on the short lists of every lesson."""
    if not listed:
        return NO_TREES
    columns = np.concatenate([_columns(one.table, one.blended) for one in listed])
    repeated = np.concatenate([one.repeated for one in listed])
    bought = np.concatenate([one.bought for one in listed])
    weight = np.concatenate([one.weight for one in listed])
    # a list is a member's in one lesson
    lists = np.concatenate([one.members + (np.int64(nth) << 32) for nth, one in enumerate(listed)])
    repeat, new = in_order(
        lambda kind: _fit_chances(columns[kind], bought[kind], weight[kind], settings),
        (repeated, ~repeated),
    )
    if repeat is None and new is None:
        return NO_TREES
    chances = _chances(repeat, new, columns, repeated)
    top = best(chances, lists, ORDERED)
    chances, columns, repeated, weight = chances[top], columns[top], repeated[top], weight[top]
    trees = _booster(columns, bought[top], settings, _OF_ORDER, group=_sizes(lists[top]))
    scores = trees.predict(columns, raw_score=True)
    lines = tuple(
        _line(chances[kind], scores[kind], weight[kind]) for kind in (~repeated, repeated)
    )
    return Trees(repeat, new, Order(trees, (lines[0], lines[1])))


ORDERED = 40
"""pairs of one list, by their chances, that the order is learned from: what lies deeper is hardly
shown, and with all 120 it takes three times as long to be no better"""
ORDER_WEIGHT = np.float32(0.3)
"""what a point of the order is worth in logits; on Complete Journey .3 to .8 are as good"""
_OF_ORDER: dict[str, Any] = {"objective": "lambdarank", "lambdarank_truncation_level": 20}
POSITIVES_OF_LEAF = 400
"""bought pairs that a leaf shall rest on, all leaves of a tree taken together"""


def _fit_chances(
    columns: Floats, bought: NDArray[np.bool_], weight: Floats, settings: TrainingSettings
) -> "Booster | None":
    positives = int(bought.sum())
    if positives < settings.tree_positives or bought.all():
        return None
    leaves = min(settings.tree_leaves, max(4, positives // POSITIVES_OF_LEAF))
    shape = {"objective": "binary", "num_leaves": leaves}
    return _booster(columns, bought, settings, shape, weight=weight)


def _booster(
    columns: Floats, bought: NDArray[np.bool_], settings: TrainingSettings,
    more: dict[str, Any], *,
    weight: Floats | None = None, group: NDArray[np.int64] | None = None,
) -> "Booster":  # fmt: skip
    import lightgbm  # noqa: PLC0415 half of a start-up

    chosen = {
        "num_leaves": settings.tree_leaves,
        "learning_rate": settings.tree_rate,
        "min_data_in_leaf": 200,
        "lambda_l2": 5.0,
        "max_bin": 63,
        "seed": settings.seed,
        "deterministic": True,  # the same model, whatever the machine's cores
        "force_row_wise": True,
        "verbose": -1,
    }
    data = lightgbm.Dataset(columns, bought.astype(np.float32), weight=weight, group=group)
    return lightgbm.train(chosen | more, data, settings.trees)


def _chances(
    repeat: "Booster | None", new: "Booster | None", columns: Floats, repeated: NDArray[np.bool_]
) -> Floats:
    """shape (pairs,): logits; the last column holds the blend's."""
    found = columns[:, COLUMNS].copy()
    for model, rows in ((repeat, repeated), (new, ~repeated)):
        if model is not None and rows.any():
            found[rows] = model.predict(columns[rows], raw_score=True)
    return found


def _line(logits: Floats, scores: NDArray[np.float64], weight: Floats) -> tuple[float, float]:
    """Offset and slope of the least squares' line; nothing where there is no pair."""
    if not len(logits):
        return 0.0, 0.0
    x, y = np.average(logits, weights=weight), np.average(scores, weights=weight)
    spread = np.average((logits - x) ** 2, weights=weight)
    slope = np.average((logits - x) * (scores - y), weights=weight) / spread if spread else 0.0
    return float(y - slope * x), float(slope)


def _sizes(lists: NDArray[np.integer]) -> NDArray[np.int64]:
    """How many pairs each list has, which stand together."""
    starts = np.flatnonzero(np.diff(lists, prepend=-1))
    return np.diff(np.append(starts, len(lists)))


def _columns(table: Floats, blended: Floats) -> Floats:
    return np.column_stack((table[:, :COLUMNS], blended))
