from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys.dataset import Dataset
from recsys.features import NAMES, SESSION
from recsys.scoring import REASON_CODES, Weights, sigmoid
from tests.small_shop import BUNDLES, END, MEMBERS
from tests.training.logs import FIRST
from training.blend import Examples, fit
from training.config import TrainingSettings
from training.evidence import Pairs
from training.lessons import sample
from training.ranker import fit_facts, learn, rank
from training.shop import Shop, load
from training.splits import ByDate, Window, bought_pairs

SETTINGS = TrainingSettings()
DAY = END.timestamp() / 86_400


@pytest.fixture(scope="module")
def shop(small_shop: Path) -> Shop:
    return load(Dataset(small_shop))


def examples(
    rng: np.random.Generator, truth: np.ndarray, *, repeated: float = 0.5, sessions: bool = True
) -> Examples:
    """Pairs that are bought with the chance that a logistic model of `truth` gives."""
    table = rng.normal(size=(6000, len(NAMES))).astype(np.float32)
    if not sessions:
        table[:, [NAMES.index(name) for name in SESSION]] = 0
    bought = rng.random(len(table)) < sigmoid(table @ truth - 1)
    ones = np.ones(len(table), np.float32)
    return Examples(table, rng.random(len(table)) < repeated, bought, ones)


def weight(part: Weights, name: str) -> float:
    return float(part.weights[NAMES.index(name)])


def test_the_blend_finds_the_weights_that_made_the_data() -> None:
    truth = np.zeros(len(NAMES), np.float32)
    truth[NAMES.index("taste")] = 1.5
    truth[NAMES.index("age")] = -1.0
    found = fit([examples(np.random.default_rng(1), truth)], SETTINGS)
    for part in (found.repeat, found.new):
        np.testing.assert_allclose(part.weights, truth, atol=0.2)
        assert part.bias == pytest.approx(-1, abs=0.2)


def test_sampling_negatives_leaves_the_chances_calibrated() -> None:
    rng = np.random.default_rng(2)
    truth = np.zeros(len(NAMES), np.float32)
    truth[0] = 1.0
    whole = examples(rng, truth)
    kept = whole.bought | (rng.random(len(whole.bought)) < 0.25)
    sampled = Examples(
        whole.table[kept], whole.repeated[kept], whole.bought[kept],
        np.where(whole.bought[kept], 1, 4).astype(np.float32),
    )  # fmt: skip
    blend = fit([sampled], SETTINGS)
    chances = sigmoid(blend.logits(whole.table, whole.repeated))
    assert chances.mean() == pytest.approx(whole.bought.mean(), rel=0.05)


def test_too_little_to_learn_from_takes_the_prior() -> None:
    few = examples(np.random.default_rng(1), np.zeros(len(NAMES), np.float32))
    none = replace(few, bought=np.arange(len(few.bought)) < 10)
    for blend in (fit([], SETTINGS), fit([none], SETTINGS)):
        assert weight(blend.repeat, "decayed_60") > weight(blend.repeat, "popular_30") > 0
        assert weight(blend.new, "session") == SETTINGS.session_prior
        assert 0 < weight(blend.new, "session_leaf") < SETTINGS.session_prior


@pytest.mark.parametrize("sessions", [False, True])
def test_a_log_without_sessions_keeps_the_sessions_prior_weight(sessions: bool) -> None:
    truth = np.zeros(len(NAMES), np.float32)
    for name in SESSION:
        truth[NAMES.index(name)] = -2.0
    settings = SETTINGS.model_copy(update={"session_prior": 0.75})
    blend = fit([examples(np.random.default_rng(3), truth, sessions=sessions)], settings)
    for name, prior in zip(SESSION, (0.75, 0.225), strict=True):
        expected = pytest.approx(-2.0, abs=0.2) if sessions else pytest.approx(prior)
        assert weight(blend.new, name) == expected
        assert weight(blend.repeat, name) == expected


def test_what_is_learned_ranks_habits_first_and_measures_itself(shop: Shop) -> None:
    learned = learn(ByDate(shop, DAY, SETTINGS), SETTINGS)
    assert learned.recall is not None
    assert 0.8 < learned.recall <= 1
    facts = fit_facts(shop.past(DAY, min_support=5), SETTINGS)
    pairs, collected, _, logits = rank(facts, learned.ranker, np.arange(200, dtype=np.int32))
    best = np.lexsort((-logits, pairs.members))[np.searchsorted(pairs.members, np.arange(200))]
    assert (collected.count[best] > 0).mean() > 0.95


def test_chances_are_about_as_frequent_as_purchases(shop: Shop) -> None:
    early = DAY - SETTINGS.horizon_days
    ranker = learn(ByDate(shop, early, SETTINGS), SETTINGS).ranker
    past = shop.past(early, min_support=5)
    *_, logits = rank(fit_facts(past, SETTINGS), ranker, np.arange(200, dtype=np.int32))
    bought = len(bought_pairs(shop, past, SETTINGS.horizon_days).members)
    assert sigmoid(logits).sum() == pytest.approx(bought, rel=0.2)


def test_a_shop_with_one_day_of_history_still_gets_a_blend(shop: Shop) -> None:
    learned = learn(ByDate(shop, FIRST + 1, SETTINGS), SETTINGS)
    assert learned.recall is None
    assert weight(learned.ranker.blend.new, "popular_30") > 0


def test_a_sample_of_buyers_is_the_same_in_any_order_and_of_the_size_asked(shop: Shop) -> None:
    rows = np.arange(len(MEMBERS), dtype=np.int32)
    everyone = Pairs(np.repeat(rows, 2), np.zeros(2 * len(rows), np.int32))
    past = shop.past(DAY, min_support=5)
    found = sample(Window(past, everyone), shop, 50)
    assert len(set(found.tolist())) == 50
    assert (np.diff(found) > 0).all()
    back = replace(shop, member_ids=shop.member_ids[::-1])
    turned = sample(Window(past, everyone), back, 50)
    assert {MEMBERS[row] for row in found} == {back.member_ids[row] for row in turned}
    assert len(sample(Window(past, everyone), shop, 500)) == len(MEMBERS)


def test_bundles_are_said_to_go_together(shop: Shop) -> None:
    ranker = learn(ByDate(shop, DAY, SETTINGS), SETTINGS).ranker
    facts = fit_facts(shop.past(DAY, min_support=5), SETTINGS)
    pairs, collected, table, _ = rank(facts, ranker, np.arange(200, dtype=np.int32))
    reasons = ranker.blend.reasons(table, collected.count > 0)
    assert {REASON_CODES[code] for code in reasons} >= {"again", "together", "taste"}
    near = facts.sources.together.similarity.toarray()
    for first, second in BUNDLES:
        row = shop.product_ids.index(first)
        assert near[row].argmax() == shop.product_ids.index(second)
    assert len(pairs.members) == len(reasons)
