"""Learns the blend: what members bought in the horizons before the as-of date.

From members who bought something: the blend decides among products, `visit` whether they come.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys import features, metrics
from recsys.features import Floats
from recsys.ids import unit_interval
from recsys.scoring import Blend, Weights
from training import evidence, visit
from training.config import TrainingSettings
from training.evidence import Facts, Pairs
from training.shop import Past, Shop
from training.sources import fit_all
from training.splits import Split
from training.visit import Visit

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
    """of sampled negatives: how many each stands for"""


def fit_facts(past: Past, settings: TrainingSettings) -> Facts:
    """Fit all sources on a past and fold its tables."""
    return evidence.facts(past, fit_all(past, settings), browsing_needed=settings.browsing_needed)


@dataclass(frozen=True, slots=True)
class Learned:
    """A blend, and how good its recipe is."""

    blend: Blend
    visit: Visit
    recall: float | None
    """recall@10 on the last complete horizon of the recipe learned before it; None where there
    is no horizon to measure on"""


def learn(split: Split, settings: TrainingSettings) -> Learned:
    """Fit the blend on the `windows` windows before a split's test."""
    examples: list[Examples] = []
    columns: list[Floats] = []
    came: list[NDArray[np.bool_]] = []
    recall = None
    for level in range(settings.windows, 0, -1):
        window = split.window(level)
        past, truth = window.past, window.truth
        if not len(truth.members):
            continue
        facts = fit_facts(past, settings)
        sampled = _sample(split.shop, truth, settings.window_members, f"window {past.day}")
        pairs = evidence.candidate_pairs(facts, sampled)
        known = facts.member_orders > 0
        columns.append(evidence.member_columns(facts)[known])
        came.append(np.isin(np.flatnonzero(known), truth.members))
        if level == 1 and examples:
            recall = _recall(fit(examples, settings), facts, pairs, truth)
        examples.append(_examples(facts, pairs, truth, settings))
    return Learned(fit(examples, settings), visit.fit(columns, came), recall)


def fit(examples: list[Examples], settings: TrainingSettings) -> Blend:
    """Two L2 logistic models; a kind with too little to learn from takes the prior weights."""
    if not examples:
        return Blend(_prior(settings), _prior(settings))
    table = np.concatenate([example.table for example in examples])
    repeated = np.concatenate([example.repeated for example in examples])
    bought = np.concatenate([example.bought for example in examples])
    weight = np.concatenate([example.weight for example in examples])
    return Blend(
        repeat=_logistic(table[repeated], bought[repeated], weight[repeated], settings),
        new=_logistic(table[~repeated], bought[~repeated], weight[~repeated], settings),
    )


_SESSION = features.NAMES.index(*features.SESSION)


def _examples(facts: Facts, pairs: Pairs, truth: Pairs, settings: TrainingSettings) -> Examples:
    past = facts.past
    keys = pairs.members.astype(np.int64) * past.n_products + pairs.products
    bought = np.isin(keys, truth.members.astype(np.int64) * past.n_products + truth.products)
    share = min(1.0, settings.negatives * bought.sum() / max((~bought).sum(), 1))
    rng = np.random.default_rng([settings.seed, int(past.day)])
    kept = bought | (rng.random(len(bought)) < share)
    collected = evidence.collect(facts, Pairs(pairs.members[kept], pairs.products[kept]))
    return Examples(
        features.features(collected, past.day),
        collected.count > 0,
        bought[kept],
        np.where(bought[kept], 1.0, 1.0 / max(share, 1e-9)).astype(np.float32),
    )


def _recall(blend: Blend, facts: Facts, pairs: Pairs, truth: Pairs) -> float | None:
    """recall@10 over the window's sampled members."""
    known = np.isin(truth.members, pairs.members)
    if not known.any():
        return None
    collected = evidence.collect(facts, pairs)
    logits = blend.logits(features.features(collected, facts.past.day), collected.count > 0)
    found = metrics.ranking(pairs.members, pairs.products, logits, k=10)
    scores = metrics.evaluate(found, truth.members[known], truth.products[known], k=10)
    return scores.means()["recall"]


def _sample(shop: Shop, truth: Pairs, most: int, salt: str) -> NDArray[np.int32]:
    """Rows of members who bought, ascending; the same sample in any order or process."""
    buyers = np.unique(truth.members)
    if len(buyers) <= most:
        return buyers
    chance = np.array([unit_interval(salt, shop.member_ids[row]) for row in buyers])
    return np.sort(buyers[np.argpartition(chance, most)[:most]])


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
    if not used[_SESSION]:
        weights[_SESSION] = settings.session_prior
    return Weights(bias, weights, means.astype(np.float32))


def _prior(settings: TrainingSettings) -> Weights:
    weights = np.zeros(len(features.NAMES), np.float32)
    for name, value in PRIOR.items():
        weights[features.NAMES.index(name)] = value
    weights[_SESSION] = settings.session_prior
    # a purchase of one given candidate within a week: about 1 in 100 on every shop measured
    return Weights(float(np.log(0.01)), weights, np.zeros(len(features.NAMES), np.float32))
