"""Trees: chances that come true, and an order that adds what chances do not say."""

import numpy as np
import pytest

from recsys import features
from training import trees
from training.config import TrainingSettings
from training.trees import COLUMNS, NO_TREES, Listed, Trees

SETTINGS = TrainingSettings(trees=60)
MEMBERS, EACH = 600, 40


def listed(seed: int = 1, chance: float = 1.0) -> Listed:
    """Pairs whose first feature decides with luck whether they are bought."""
    rng = np.random.default_rng(seed)
    rows = MEMBERS * EACH
    table = rng.normal(size=(rows, len(features.NAMES))).astype(np.float32)
    repeated = rng.random(rows) < 0.5
    logits = 2 * np.abs(table[:, 0]) - 3
    bought = rng.random(rows) < chance / (1 + np.exp(-logits))
    members = np.repeat(np.arange(MEMBERS, dtype=np.int32), EACH)
    blended = np.full(rows, -2, np.float32)
    return Listed(table, blended, repeated, bought, np.ones(rows, np.float32), members)


@pytest.fixture(scope="module")
def fitted() -> Trees:
    return trees.fit([listed(1), listed(2)], SETTINGS)


def logits(fitted: Trees, lesson: Listed) -> features.Floats:
    return fitted.logits(lesson.table, lesson.blended, lesson.repeated)


def test_chances_come_true_on_members_not_seen(fitted: Trees) -> None:
    lesson = listed(3)
    chance = 1 / (1 + np.exp(-logits(fitted, lesson)))
    for kind in (lesson.repeated, ~lesson.repeated):
        assert chance[kind].mean() == pytest.approx(lesson.bought[kind].mean(), rel=0.1)
        high = kind & (np.abs(lesson.table[:, 0]) > 1.5)
        assert chance[high].mean() == pytest.approx(lesson.bought[high].mean(), rel=0.1)


def test_what_a_sum_of_shares_cannot_say_comes_first(fitted: Trees) -> None:
    lesson = listed(3)
    found = logits(fitted, lesson).reshape(MEMBERS, EACH)
    best = np.argsort(-found, axis=1)[:, :5] + np.arange(MEMBERS)[:, None] * EACH
    assert lesson.bought[best].mean() > 2 * lesson.bought.mean()


def test_the_order_repeats_nothing_of_the_chances(fitted: Trees) -> None:
    lesson = listed(1)
    alone = Trees(fitted.repeat, fitted.new, None)
    chances = logits(alone, lesson)
    assert fitted.order is not None
    columns = np.column_stack((lesson.table[:, :COLUMNS], lesson.blended))
    beyond = fitted.order.beyond(columns, chances, lesson.repeated)
    for kind in (lesson.repeated, ~lesson.repeated):
        assert abs(beyond[kind].mean()) < 0.05
        assert abs(np.corrcoef(beyond[kind], chances[kind])[0, 1]) < 0.1
    assert np.array_equal(logits(fitted, lesson), chances + trees.ORDER_WEIGHT * beyond)


def test_the_same_lists_teach_the_same_trees(fitted: Trees) -> None:
    again = trees.fit([listed(1), listed(2)], SETTINGS)
    assert np.array_equal(logits(again, listed(3)), logits(fitted, listed(3)))


def test_with_little_to_learn_from_the_blend_keeps_its_word() -> None:
    lesson = listed(1, chance=0.01)
    found = trees.fit([lesson], SETTINGS)
    assert found == NO_TREES == trees.fit([], SETTINGS)
    assert np.array_equal(logits(found, lesson), lesson.blended)
