"""The blend: two L2 logistic models, fitted on what members bought in the horizons before.

From members who bought something: the blend decides among products, `visit` whether they come.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys import features
from recsys.features import Floats
from recsys.scoring import Blend, Weights
from training.ablation import silent_columns
from training.config import TrainingSettings
from training.parallel import in_order

PRIOR = {"decayed_60": 2.0, "together": 1.0, "taste": 1.0, "popular_30": 0.3, "category_leaf": 0.3}
"""Weights where a shop has no two horizons to learn from: repeat first, then similar, then
popular. The order is that of the sources' own recall on every shop we measured."""
LEAST_POSITIVES = 50
"""fewer bought pairs than this teach a model of thirty weights nothing"""


@dataclass(frozen=True, slots=True)
class Examples:
    """Pairs of one window with what happened."""

    table: Floats
    """shape (pairs, len(features.NAMES))"""
    repeated: NDArray[np.bool_]
    bought: NDArray[np.bool_]
    weight: Floats
    """how much each counts; a sampled negative stands for many"""


def fit(examples: list[Examples], settings: TrainingSettings) -> Blend:
    """Two L2 logistic models; a kind with too little to learn from takes the prior weights."""
    if not examples:
        return Blend(_prior(settings), _prior(settings))
    table = np.concatenate([example.table for example in examples])
    repeated = np.concatenate([example.repeated for example in examples])
    bought = np.concatenate([example.bought for example in examples])
    weight = np.concatenate([example.weight for example in examples])
    repeat, new = in_order(
        lambda kind: _logistic(table[kind], bought[kind], weight[kind], settings),
        (repeated, ~repeated),
    )
    return Blend(repeat, new)


_SESSION = np.array([features.NAMES.index(name) for name in features.SESSION])


def session_share(blend: Blend, table: Floats, repeated: NDArray[np.bool_]) -> Floats:
    """shape (pairs,): the part of the blend's logits that the session speaks for."""
    columns, names = table[:, _SESSION], features.SESSION
    share: Floats = np.where(
        repeated, columns @ blend.repeat.part(names), columns @ blend.new.part(names)
    )
    return share


def _logistic(
    table: Floats, bought: NDArray[np.bool_], weight: Floats, settings: TrainingSettings
) -> Weights:
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 half of a start-up

    if bought.sum() < LEAST_POSITIVES or bought.all():
        return _prior(settings)
    means = np.average(table, axis=0, weights=weight)
    spread = table.std(axis=0)
    used = spread > 1e-6
    # float64: in float32 the Hessian of features that resemble each other is singular
    scaled = (table[:, used].astype(np.float64) - means[used]) / spread[used]
    model = LogisticRegression(solver="newton-cholesky", max_iter=100)
    model.fit(scaled, bought, sample_weight=weight.astype(np.float64))
    weights = np.zeros(len(features.NAMES), np.float32)
    weights[used] = model.coef_[0] / spread[used]
    bias = float(model.intercept_[0] - means[used] @ weights[used])
    unseen = _SESSION[~used[_SESSION]]
    weights[unseen] = _prior(settings).weights[unseen]
    return Weights(bias, weights, means.astype(np.float32))


def _prior(settings: TrainingSettings) -> Weights:
    weights = np.zeros(len(features.NAMES), np.float32)
    for name, value in PRIOR.items():
        weights[features.NAMES.index(name)] = value
    weights[_SESSION] = settings.session_prior * np.array([1, PRIOR["category_leaf"]])
    weights[silent_columns(settings.without)] = 0
    # a purchase of one given candidate within a week: about 1 in 100 on every shop measured
    return Weights(float(np.log(0.01)), weights, np.zeros(len(features.NAMES), np.float32))
