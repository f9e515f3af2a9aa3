"""The ranker: sources propose, the blend scores and explains, trees decide among the best."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys import metrics
from recsys.features import Evidence, Floats
from recsys.scoring import Blend
from training import blend as blending
from training import evidence, trees, visit
from training.config import TrainingSettings
from training.evidence import Facts, Pairs
from training.lessons import lessons
from training.parallel import in_order, spans
from training.shop import Past
from training.sources import fit_all
from training.splits import Split, Window
from training.trees import Listed, Trees
from training.visit import Visit

CHUNK = 1024
"""members at once on one core: about half a million pairs x 43 features x 4 bytes = 85 MB, three
times over"""


@dataclass(frozen=True, slots=True)
class Ranker:
    """Both stages."""

    blend: Blend
    trees: Trees
    settings: TrainingSettings

    def logits(
        self, table: Floats, members: NDArray[np.int32], repeated: NDArray[np.bool_]
    ) -> Floats:
        """shape (pairs,): -inf for what is not on the member's short list."""
        blended = self.blend.logits(table, repeated)
        session = blending.session_share(self.blend, table, repeated)
        found = np.full(len(table), -np.inf, np.float32)
        most = self.settings.kept_repeats
        kept = trees.shortlist(
            blended, members, repeated, repeats=most, new=self.settings.listed_new
        )
        second = self.trees.logits(table[kept], (blended - session)[kept], repeated[kept])
        found[kept] = second + session[kept]
        return found


@dataclass(frozen=True, slots=True)
class Learned:
    """A ranker, and how good its recipe is."""

    ranker: Ranker
    visit: Visit
    recall: float | None
    """recall@10 on the last lesson of the recipe learned from every third member of those before
    it, which takes a quarter of the time; None where there is nothing to measure on"""


@dataclass(frozen=True, slots=True)
class Lesson:
    """All candidate pairs of one window's members, with what happened."""

    members: NDArray[np.int32]
    products: NDArray[np.int32]
    table: Floats
    """shape (pairs, len(features.NAMES))"""
    repeated: NDArray[np.bool_]
    bought: NDArray[np.bool_]
    weight: Floats
    """members count alike in the metrics: one who bought much does not drown the others out"""
    truth: Pairs
    """of these members; some of it no source has proposed"""


def fit_facts(past: Past, settings: TrainingSettings) -> Facts:
    """Fit all sources on a past and fold its tables."""
    return evidence.facts(past, fit_all(past, settings), settings)


def learn(split: Split, settings: TrainingSettings) -> Learned:
    """Learn from the windows before a split's test."""
    learned, columns, came = [], [], []
    for window, members in lessons(split, settings):
        facts = fit_facts(window.past, settings)
        learned.append(_lesson(facts, window, members))
        known = facts.member_orders > 0
        columns.append(evidence.member_columns(facts)[known])
        came.append(np.isin(np.flatnonzero(known), window.truth.members))
    taught = [learned]
    if len(learned) > 1:
        taught.append([_some_members(lesson) for lesson in learned[:-1]])
    ranker, *earlier = in_order(lambda lessons: fit(lessons, settings), taught)
    recall = _recall(earlier[0], learned[-1]) if earlier else None
    return Learned(ranker, visit.fit(columns, came), recall)


def fit(taught: list[Lesson], settings: TrainingSettings) -> Ranker:
    """Fit the blend on a sample of all pairs, then the trees on the short lists."""
    examples = [_examples(lesson, settings) for lesson in taught]
    blend = blending.fit(examples, settings)
    listed = []
    for lesson in taught:
        logits = blend.logits(lesson.table, lesson.repeated)
        kept = trees.shortlist(
            logits,
            lesson.members,
            lesson.repeated,
            repeats=settings.listed_repeats,
            new=settings.listed_new,
        )
        table, repeated = lesson.table[kept], lesson.repeated[kept]
        blended = logits[kept] - blending.session_share(blend, table, repeated)
        of_pairs = lesson.bought[kept], lesson.weight[kept], lesson.members[kept]
        listed.append(Listed(table, blended, repeated, *of_pairs))
    return Ranker(blend, trees.fit(listed, settings), settings)


def rank(
    facts: Facts, ranker: Ranker, members: NDArray[np.int32]
) -> tuple[Pairs, Evidence, Floats, Floats]:
    """All candidate pairs of some members: the pairs, their evidence, features and logits."""
    pairs = evidence.candidate_pairs(facts, members)
    collected = evidence.collect(facts, pairs)
    table = evidence.table(facts, collected)
    return pairs, collected, table, ranker.logits(table, pairs.members, collected.count > 0)


def _lesson(facts: Facts, window: Window, members: NDArray[np.int32]) -> Lesson:
    def part(span: slice) -> tuple[NDArray[np.int32], NDArray[np.int32], Floats, NDArray[np.bool_]]:
        pairs = evidence.candidate_pairs(facts, members[span])
        collected = evidence.collect(facts, pairs)
        table = evidence.table(facts, collected)
        return pairs.members, pairs.products, table, collected.count > 0

    parts = in_order(part, spans(len(members), CHUNK))
    owners, products, table, repeated = (np.concatenate(part) for part in zip(*parts, strict=True))
    sampled = np.isin(window.truth.members, members)
    truth = Pairs(window.truth.members[sampled], window.truth.products[sampled])
    size = facts.past.n_products
    bought = np.isin(
        owners.astype(np.int64) * size + products,
        truth.members.astype(np.int64) * size + truth.products,
    )
    counts = np.bincount(truth.members, minlength=facts.past.n_members)
    weight = 1 / np.sqrt(np.maximum(counts[owners], 1))
    return Lesson(owners, products, table, repeated, bought, weight.astype(np.float32), truth)


def _examples(lesson: Lesson, settings: TrainingSettings) -> blending.Examples:
    """What was bought, and a sample of what was not that stands for all of it."""
    bought = lesson.bought
    share = min(1.0, settings.negatives * bought.sum() / max((~bought).sum(), 1))
    rng = np.random.default_rng([settings.seed, len(bought)])
    kept = bought | (rng.random(len(bought)) < share)
    stands_for = np.where(bought[kept], 1.0, 1.0 / max(share, 1e-9))
    return blending.Examples(
        lesson.table[kept],
        lesson.repeated[kept],
        bought[kept],
        (lesson.weight[kept] * stands_for).astype(np.float32),
    )


def _some_members(lesson: Lesson) -> Lesson:
    kept, of_truth = lesson.members % 3 == 0, lesson.truth.members % 3 == 0
    return Lesson(
        lesson.members[kept],
        lesson.products[kept],
        lesson.table[kept],
        lesson.repeated[kept],
        lesson.bought[kept],
        lesson.weight[kept],
        Pairs(lesson.truth.members[of_truth], lesson.truth.products[of_truth]),
    )


def _recall(ranker: Ranker, lesson: Lesson) -> float:
    """recall@10 over the lesson's members."""
    logits = ranker.logits(lesson.table, lesson.members, lesson.repeated)
    found = metrics.ranking(lesson.members, lesson.products, logits, k=10)
    scores = metrics.evaluate(found, lesson.truth.members, lesson.truth.products, k=10)
    return scores.means()["recall"]
