from collections import Counter

import numpy as np
import pytest

from tests.training.uplift.trials import trial, visits
from training.uplift.choose import learn
from training.uplift.learners import OTHERS, SIMPLE


def test_where_all_are_alike_nothing_is_made_of_noise() -> None:
    chosen = Counter()
    for seed in range(8):
        rng = np.random.default_rng(seed)
        found = learn(trial(lambda _: 0.3, rows=600, rng=rng), rng=rng)
        chosen[found.learner] += 1
        effect = found.effect.of(np.zeros((1, 4)))
        assert effect == pytest.approx(0.3, abs=0.4)
    assert chosen["average"] >= 7


def test_where_a_rule_is_all_there_is_no_line_takes_its_place() -> None:
    chosen = Counter()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        found = learn(trial(lambda x: 1.0 * x[:, 2], rows=2000, rng=rng), rng=rng)
        chosen[found.learner] += 1
    assert chosen["rule"] >= 5


def test_what_is_not_simple_is_found() -> None:
    rng = np.random.default_rng(1)
    found = learn(trial(lambda x: x[:, 0] + x[:, 1], rows=4000, rng=rng), rng=rng)
    assert found.learner in OTHERS
    assert found.gains[found.learner] > 3 * max(found.gains[name] for name in ("average",))
    assert found.effect.slope > 0.8


def test_chances_may_be_learned_as_odds_and_money_not() -> None:
    rng = np.random.default_rng(2)
    chances, _ = visits(lambda x: x[:, 0], rows=500, rng=rng)
    money = trial(lambda x: x[:, 0], rows=500, rng=rng)
    assert "odds" in learn(chances, rng=rng).gains
    assert learn(money, rng=rng).gains.keys() == (SIMPLE | OTHERS).keys()


def test_effects_are_drawn_to_their_mean_as_far_as_they_do_not_hold() -> None:
    """Hardly any signal: what is left of the differences is less than was found."""
    slopes = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        found = learn(trial(lambda x: 0.3 * x[:, 1], rows=600, rng=rng, noise=2), rng=rng)
        slopes.append(found.effect.slope)
        assert 0 <= found.effect.slope <= 1
    assert np.mean(slopes) < 0.9


def test_the_mean_effect_is_that_of_the_trial() -> None:
    rng = np.random.default_rng(5)
    data = trial(lambda x: 1 + x[:, 1], rows=4000, rng=rng, chance=0.8)
    found = learn(data, rng=rng)
    assert found.effect.of(data.features).mean() == pytest.approx(
        1 + data.features[:, 1].mean(), abs=0.15
    )


def test_the_same_draw_learns_the_same() -> None:
    data = trial(lambda x: x[:, 1], rows=500, rng=np.random.default_rng(3))
    one, other = (learn(data, rng=np.random.default_rng(4)) for _ in range(2))
    np.testing.assert_array_equal(one.effect.of(data.features), other.effect.of(data.features))
