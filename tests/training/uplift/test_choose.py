from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from recsys.errors import DataError
from tests.training.uplift.trials import trial, visits
from training.uplift.choose import learn
from training.uplift.learners import OTHERS, SIMPLE
from training.uplift.trial import Trial


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


def dosed(share: Callable[[np.ndarray], np.ndarray | float], rng: np.random.Generator) -> Trial:
    """What a push brings is a share of a dose that one of the features tells."""
    doses = np.empty(0)

    def effect(features: np.ndarray) -> np.ndarray:
        nonlocal doses
        doses = 0.5 + 0.45 * np.tanh(features[:, 0])
        return share(features) * doses

    made = trial(effect, rows=3000, rng=rng, noise=0.5)
    return replace(made, dose=doses)


def test_the_same_share_of_every_dose_is_one_number() -> None:
    chosen = Counter()
    for seed in range(6):
        rng = np.random.default_rng(seed)
        data = dosed(lambda _: 0.7, rng)
        found = learn(data, rng=rng)
        chosen[found.learner] += 1
        assert abs(found.mean - 0.7) < 4 * found.error
        assert found.effect.of(data.features).mean() == pytest.approx(0.7, abs=0.2)
    assert chosen["average"] >= 5


def test_shares_that_differ_are_found_whatever_the_dose() -> None:
    rng = np.random.default_rng(1)
    data = dosed(lambda x: 1.0 - 2 * (x[:, 1] > 0), rng)
    found = learn(data, rng=rng)
    share = found.effect.of(data.features)
    driven = data.features[:, 1] > 0
    assert share[driven].mean() == pytest.approx(-1, abs=0.3)
    assert share[~driven].mean() == pytest.approx(1, abs=0.3)
    assert not {"arms", "odds"} & found.gains.keys()


def test_the_error_of_the_mean_covers_it() -> None:
    errors, missed = [], []
    for seed in range(40):
        rng = np.random.default_rng(100 + seed)
        found = learn(dosed(lambda _: 0.5, rng), rng=rng)
        missed.append(found.mean - 0.5)
        errors.append(found.error)
    assert np.std(missed) == pytest.approx(np.mean(errors), rel=0.35)
    assert abs(np.mean(missed)) < 3 * np.mean(errors) / len(missed) ** 0.5


def test_a_dose_of_nothing_is_refused() -> None:
    data = dosed(lambda _: 0.5, np.random.default_rng(0))
    with pytest.raises(DataError, match="not above 0"):
        replace(data, dose=np.zeros(len(data)))
