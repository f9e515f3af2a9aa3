import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import Lasso, Ridge

from tests.training.uplift.trials import trial, visits
from training.uplift import learners
from training.uplift.learners import OF_CHANCES, OTHERS, SIMPLE, lasso, lesson, ridge, scores

EVERY = SIMPLE | OTHERS | OF_CHANCES


def drawn(seed: int, rows: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    columns = rng.normal(size=(rows, 6)) * np.array([1, 100, 0.01, 1, 1, 0])
    target = columns[:, 0] + 0.02 * columns[:, 1] + rng.normal(size=rows)
    return columns, target, rng.uniform(0.5, 2, rows)


@given(seed=st.integers(0, 20))
def test_ridge_is_scikits_at_its_own_penalty(seed: int) -> None:
    columns, target, weight = drawn(seed)
    found = ridge(columns, target, weight)
    share = weight / weight.sum()
    spread = np.sqrt(share @ (columns - share @ columns) ** 2)
    even = (columns / np.where(spread > 0, spread, 1))[:, :5]
    fits = [
        Ridge(alpha=penalty * weight.sum()).fit(even, target, sample_weight=weight)
        for penalty in learners.PENALTIES
    ]
    nearest = min(np.abs(fit.predict(even) - found.of(columns)).max() for fit in fits)
    assert nearest < 1e-8
    assert found.weights[5] == 0  # constant


def test_lasso_is_scikits_and_leaves_out_what_does_not_matter() -> None:
    columns, target, weight = drawn(1, rows=3000)
    found = lasso(columns, target, weight)
    assert found.weights[0] == pytest.approx(1, abs=0.15)
    assert (found.weights[2:] * columns.std(axis=0)[2:] < 0.1).all()
    plain = lasso(columns, target)
    even = ((columns - columns.mean(axis=0)) / (columns.std(axis=0) + 1e-300))[:, :5]
    top = np.abs(even.T @ (target - target.mean())).max() / len(target)
    fits = [Lasso(alpha=top * part, tol=1e-8).fit(even, target) for part in learners.SPARSE]
    assert min(np.abs(fit.predict(even) - plain.of(columns)).max() for fit in fits) < 0.01


@given(scale=st.sampled_from([0.01, 1.0, 1000.0]), shift=st.sampled_from([0.0, 50.0]))
def test_units_of_a_column_change_nothing(scale: float, shift: float) -> None:
    columns, target, weight = drawn(4)
    for fit in (ridge, lasso):
        other = fit(columns * scale + shift, target, weight).of(columns * scale + shift)
        np.testing.assert_allclose(other, fit(columns, target, weight).of(columns), atol=2e-3)


def test_lasso_of_nothing_is_the_mean() -> None:
    found = lasso(np.zeros((30, 2)), np.arange(30.0))
    np.testing.assert_allclose(found.of(np.ones((2, 2))), 14.5)


@pytest.mark.parametrize("name", [name for name in EVERY if name != "odds"])
@pytest.mark.parametrize("chance", [0.5, 0.8])
def test_every_learner_finds_the_mean_effect(name: str, chance: float) -> None:
    rng = np.random.default_rng(7)
    found = trial(lambda x: 1 + x[:, 1], rows=6000, rng=rng, chance=chance)
    effect = EVERY[name](lesson(found)).of(found.features)
    assert effect.mean() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize("name", ["transformed", "arms", "residual", "products"])
def test_lines_tell_members_apart(name: str) -> None:
    found = trial(lambda x: 1 + x[:, 1], rows=6000, rng=np.random.default_rng(8))
    effect = EVERY[name](lesson(found)).of(found.features)
    assert np.corrcoef(effect, found.features[:, 1])[0, 1] > 0.9


def test_products_find_what_takes_two_features() -> None:
    found = trial(lambda x: x[:, 0] * x[:, 1], rows=6000, rng=np.random.default_rng(9))
    truth = found.features[:, 0] * found.features[:, 1]
    learned = lesson(found)
    plain, wide = (
        np.corrcoef(EVERY[name](learned).of(found.features), truth)[0, 1]
        for name in ("residual", "products")
    )
    assert wide > 0.9
    assert plain < 0.5


def test_odds_find_whom_a_push_moves() -> None:
    found, truth = visits(lambda x: 0.5 + x[:, 1], rows=20_000, rng=np.random.default_rng(10))
    learned = EVERY["odds"](lesson(found))
    effect = learned.of(found.features)
    assert np.corrcoef(effect, truth)[0, 1] > 0.9
    assert learned.held is not None
    without = expit(learned.held.of(learned.basis.columns(found.features)))
    assert without.mean() == pytest.approx(expit(-1 + found.features[:, 0]).mean(), abs=0.03)
    assert effect.mean() == pytest.approx(truth.mean(), abs=0.02)
    assert np.abs(effect).max() <= 1


def test_the_rule_finds_the_step() -> None:
    found = trial(lambda x: 2.0 * x[:, 2], rows=2000, rng=np.random.default_rng(11))
    effect = EVERY["rule"](lesson(found))
    assert effect.basis.label(int(np.abs(effect.move.weights).argmax())) == "regular > 0"
    assert effect.of(found.features)[found.features[:, 2] == 1] == pytest.approx(2, abs=0.3)
    assert effect.of(found.features)[found.features[:, 2] == 0] == pytest.approx(0, abs=0.3)


def test_a_rule_without_a_step_is_the_average() -> None:
    found = trial(lambda _: 1.0, rows=200, rng=np.random.default_rng(12))
    same = lesson(
        type(found)(("one",), np.ones((200, 1)), found.pushed, found.chance, found.outcome)
    )
    np.testing.assert_allclose(
        EVERY["rule"](same).of(np.ones((3, 1))), EVERY["average"](same).of(np.ones((3, 1)))
    )


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 100))
def test_scores_have_the_effect_as_their_mean_even_if_the_lesson_is_of_another_shop(
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    elsewhere = lesson(trial(lambda _: -5.0, rows=300, rng=rng))
    found = trial(lambda _: 1.0, rows=20_000, rng=rng)
    seen = scores(elsewhere, found)
    assert abs(seen.mean() - 1) < 5 * seen.std() / len(seen) ** 0.5
