import numpy as np
import pytest

from recsys import features
from recsys.features import CLOCK, NAMES, SESSION, STATIC
from recsys.scoring import REASON_CODES, REASONS, Blend, ClockCurve, Weights, sigmoid


def random_weights(rng: np.random.Generator) -> Weights:
    draw = rng.normal(size=(2, len(NAMES))).astype(np.float32)
    return Weights(float(rng.normal()), draw[0], draw[1])


@pytest.fixture
def blend() -> Blend:
    rng = np.random.default_rng(5)
    return Blend(random_weights(rng), random_weights(rng))


def test_every_feature_speaks_for_exactly_one_reason() -> None:
    assert sorted(name for names in REASONS.values() for name in names) == sorted(NAMES)


def test_each_pair_is_scored_by_its_own_model(blend: Blend) -> None:
    table = np.random.default_rng(1).normal(size=(6, len(NAMES))).astype(np.float32)
    repeated = np.array([True, False, True, False, False, True])
    found = blend.logits(table, repeated)
    for row, is_repeat in enumerate(repeated):
        part = blend.repeat if is_repeat else blend.new
        expected = sum(float(table[row, at]) * float(part.weights[at]) for at in range(len(NAMES)))
        assert found[row] == pytest.approx(expected + part.bias, abs=1e-4)


def test_static_clock_and_session_parts_add_up_to_the_whole(blend: Blend) -> None:
    rng = np.random.default_rng(2)
    now = 500.0
    last = rng.integers(400, 500, 40).astype(np.float32)
    interval = rng.uniform(1, 60, 40).astype(np.float32)
    similarity = rng.uniform(-0.2, 1, 40).astype(np.float32)
    leaf = rng.uniform(0, 3, 40).astype(np.float32)
    static = rng.normal(size=(40, len(STATIC))).astype(np.float32)
    repeated = rng.random(40) < 0.5
    clock = features.clock(now, last, interval) * repeated[:, None]
    table = np.hstack((static, clock, features.session(similarity, leaf)))
    parts = blend.static_logits(static, repeated)
    parts = parts + np.where(repeated, ClockCurve.of(blend).logits(now, last, interval), 0)
    parts += np.where(
        repeated,
        features.session(similarity, leaf) @ blend.repeat.part(SESSION),
        features.session(similarity, leaf) @ blend.new.part(SESSION),
    )
    np.testing.assert_allclose(parts, blend.logits(table, repeated), atol=1e-4)


def test_a_part_of_the_weights_keeps_the_order_of_its_names(blend: Blend) -> None:
    names = ("taste", *SESSION, CLOCK[0])
    assert blend.new.part(names).tolist() == [
        blend.new.weights[NAMES.index(name)] for name in names
    ]


def test_the_reason_is_what_stands_out_most_from_the_average_pair() -> None:
    weights = np.ones(len(NAMES), np.float32)
    even = Weights(0.0, weights, np.full(len(NAMES), 2, np.float32))
    table = np.full((len(REASON_CODES), len(NAMES)), 2, np.float32)
    for row, names in enumerate(REASONS.values()):
        table[row, NAMES.index(names[0])] += 1
    found = Blend(even, even).reasons(table, np.full(len(table), True))
    assert [REASON_CODES[code] for code in found] == list(REASON_CODES)


def test_nobody_is_told_that_they_bought_what_they_never_bought(blend: Blend) -> None:
    rng = np.random.default_rng(3)
    table = rng.normal(size=(200, len(NAMES))).astype(np.float32)
    repeated = np.arange(200) % 2 == 0
    again = blend.reasons(table, repeated) == REASON_CODES.index("again")
    assert again[repeated].any()
    assert not again[~repeated].any()


def test_a_logit_is_a_chance() -> None:
    chances = sigmoid(np.array([-80, -1, 0, 1, 80], np.float32))
    np.testing.assert_allclose(chances, [0, 0.26894, 0.5, 0.73106, 1], atol=1e-5)
