import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.lift.difference import difference, size_of
from campaigns.lift.moments import moments

SEEDS = st.integers(0, 10_000)


def arms(seed, covariates=2, outcomes=3, treated=300, held=60):
    """Skewed rows whose outcomes lean on what was before."""
    rng = np.random.default_rng(seed)
    before = np.exp(rng.normal(0, 1, (treated + held, covariates)))
    slopes = rng.normal(0, 1, (covariates, outcomes))
    after = before @ slopes + np.exp(rng.normal(0, 1, (treated + held, outcomes)))
    rows = np.column_stack([before, after])
    return rows[:treated], rows[treated:]


def slow(treat, hold, covariates):
    """By least squares over all rows, with an intercept for each arm."""
    rows = np.concatenate([treat, hold])
    pushed = np.r_[np.ones(len(treat)), np.zeros(len(hold))]
    design = np.column_stack([pushed, 1 - pushed, rows[:, :covariates]])
    fitted = np.linalg.lstsq(design, rows[:, covariates:], rcond=None)[0]
    left = rows[:, covariates:] - design @ fitted
    spread = [left[pushed == arm].var(axis=0, ddof=1) for arm in (1, 0)]
    both = (len(treat) * spread[0] + len(hold) * spread[1]) / len(rows)
    error = sum(
        np.maximum(one, both) / len(some) for one, some in zip(spread, (treat, hold), strict=True)
    )
    return fitted[0] - fitted[1], np.sqrt(error)


@given(SEEDS)
def test_it_is_what_least_squares_finds(seed):
    treat, hold = arms(seed)
    found = difference(moments(treat), moments(hold), covariates=2)
    effect, error = slow(treat, hold, 2)
    np.testing.assert_allclose(found.effect, effect, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.error, error, rtol=1e-6)
    _, plain = slow(treat[:, 2:], hold[:, 2:], 0)
    np.testing.assert_allclose(found.plain_error, plain, rtol=1e-6)


@given(SEEDS, st.integers(1, 299))
def test_moments_of_parts_add_up(seed, cut):
    treat, hold = arms(seed)
    whole = moments(treat)
    parts = moments(treat[:cut]) + moments(treat[cut:])
    assert parts.count == whole.count
    np.testing.assert_allclose(parts.total, whole.total)
    np.testing.assert_allclose(parts.scatter, whole.scatter, rtol=1e-9, atol=1e-6)
    one, other = (difference(arm, moments(hold), covariates=2) for arm in (parts, whole))
    np.testing.assert_allclose(one.effect, other.effect, rtol=1e-7, atol=1e-9)


@given(SEEDS, st.floats(-50, 50), st.floats(0.01, 100))
def test_an_effect_that_is_added_is_found_and_units_do_not_matter(seed, added, unit):
    treat, hold = arms(seed)
    plain = difference(moments(treat), moments(hold), covariates=2)
    more = treat.copy()
    more[:, 2:] += added
    moved = difference(moments(more), moments(hold), covariates=2)
    np.testing.assert_allclose(moved.effect - plain.effect, added, atol=1e-6)
    np.testing.assert_allclose(moved.error, plain.error, rtol=1e-5)
    scaled = difference(moments(treat * unit), moments(hold * unit), covariates=2)
    np.testing.assert_allclose(scaled.effect, plain.effect * unit, rtol=1e-5, atol=1e-9)


def test_the_past_makes_it_narrower_and_a_past_that_says_nothing_leaves_it():
    treat, hold = arms(1, treated=5000, held=500)
    found = difference(moments(treat), moments(hold), covariates=2)
    assert (found.error < 0.95 * found.plain_error).all()
    rng = np.random.default_rng(2)
    for some in (treat, hold):
        some[:, 0] = 7.0  # the same for all
        some[:, 1] = rng.random(len(some))
    blind = difference(moments(treat), moments(hold), covariates=2)
    np.testing.assert_allclose(blind.error, blind.plain_error, rtol=0.01)


def test_few_held_out_without_a_big_spender_do_not_look_certain():
    rng = np.random.default_rng(0)
    treat = np.where(rng.random((2000, 1)) < 0.01, 1000.0, rng.random((2000, 1)))
    hold = rng.random((100, 1))
    found = difference(moments(treat), moments(hold), covariates=0)
    assert found.error[0] > 0.9 * np.sqrt(treat.var() / 100)
    assert abs(found.effect[0]) < 2 * found.error[0]


def test_the_means_are_those_of_the_treated_with_and_without():
    treat, hold = arms(3)
    found = difference(moments(treat), moments(hold), covariates=2)
    np.testing.assert_allclose(found.treated, treat[:, 2:].mean(axis=0))
    np.testing.assert_allclose(found.treated - found.held_out, found.effect)
    assert found.size == pytest.approx(size_of(300, 60)) == pytest.approx(50.0)
    assert size_of(0, 0) == 0.0
