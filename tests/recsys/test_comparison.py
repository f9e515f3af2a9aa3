"""Intervals and splits against their definitions and against truth that is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from recsys.comparison import SRM_CHANCE, difference, mean, split_chance

samples = st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30).map(np.array)


@given(samples, samples)
def test_the_difference_is_welchs(before: np.ndarray, after: np.ndarray) -> None:
    found = difference(before, after)
    assert found.value == pytest.approx(after.mean() - before.mean(), abs=1e-9)
    assert found.low <= found.value <= found.high
    if min(before.std(), after.std()) > 1e-3:
        welch = stats.ttest_ind(after, before, equal_var=False).confidence_interval()
        assert (found.low, found.high) == pytest.approx((welch.low, welch.high), rel=1e-6, abs=1e-6)


@given(samples)
def test_a_mean_has_students_interval(values: np.ndarray) -> None:
    found = mean(values)
    error = values.std(ddof=1) / np.sqrt(len(values))
    reach = stats.t.ppf(0.975, len(values) - 1) * error
    assert (found.low, found.high) == pytest.approx(
        (values.mean() - reach, values.mean() + reach), abs=1e-6
    )


@given(st.integers(1, 10_000), st.integers(1, 10_000), st.floats(0.05, 0.95))
def test_a_split_is_judged_by_chi_square(first: int, second: int, share: float) -> None:
    total = first + second
    expected = [total * share, total * (1 - share)]
    chance = stats.chisquare([first, second], expected).pvalue
    assert split_chance((first, second), (share, 1 - share)) == pytest.approx(chance, abs=1e-9)


def test_without_a_difference_alarms_come_at_the_nominal_rate() -> None:
    """Revenue per member: most buy nothing, a few buy much."""
    rng = np.random.default_rng(3)
    rounds, alarms = 1_000, 0
    for _ in range(rounds):
        first, second = (
            rng.lognormal(2, 1, size=size) * (rng.random(size) < 0.2) for size in (900, 300)
        )
        gap = difference(first, second)
        alarms += not gap.low <= 0 <= gap.high
    assert 0.03 <= alarms / rounds <= 0.075  # 0.05 ± three standard errors, and some skew


def test_a_fair_draw_is_hardly_ever_refused_and_a_lossy_one_is() -> None:
    rng = np.random.default_rng(4)
    fair = [int(count) for count in rng.binomial(10_000, 0.2, size=2_000)]
    refused = sum(split_chance((one, 10_000 - one), (1, 4)) < SRM_CHANCE for one in fair)
    assert refused <= 8  # 2 are to be expected
    assert split_chance((1_800, 8_000), (1, 4)) < SRM_CHANCE, "a tenth of one side is lost"
