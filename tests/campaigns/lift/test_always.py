import numpy as np
import pytest
from scipy.stats import norm

from campaigns.lift.always import (
    DAYS,
    LEAST_CLUSTERS,
    LEAST_SPENDERS,
    LEVEL,
    OUTCOMES,
    SPENT,
    _at_start,
    enough,
    estimated,
    reach,
    spenders,
    start_of,
)
from campaigns.lift.difference import size_of
from campaigns.lift.moments import moments

RNG = np.random.default_rng


@pytest.mark.parametrize("chance", [0.05, 0.3])
def test_brownian_motion_leaves_the_boundary_as_seldom_as_said(chance):
    """Looked at 400 times between the start and 1,000 times it, at which 85 % of leavings are."""
    rng, paths = RNG(0), 4000
    times = np.geomspace(1.0, 1000.0, 400)
    steps = rng.normal(size=(paths, len(times))) * np.sqrt(np.diff(times, prepend=0.0))
    walked = np.abs(steps.cumsum(axis=1)) / np.sqrt(times)
    left = (walked > np.sqrt(_at_start(chance) ** 2 + np.log(times))).any(axis=1).mean()
    error = np.sqrt(chance / paths)
    assert 0.6 * chance < left < chance + 3 * error


def test_a_single_look_is_wider_than_the_usual_interval_for_as_many_numbers():
    usual = norm.isf((1 - LEVEL) / (len(DAYS) * len(OUTCOMES)) / 2)
    assert (reach(100.0, 100.0) > usual).all()


def test_the_chances_of_all_outcomes_add_up():
    assert sum(SPENT) == pytest.approx(1.0)
    assert len(SPENT) == len(OUTCOMES)


def test_what_matters_most_has_the_narrowest_interval_and_later_looks_cost_little():
    first, later = reach(100.0, 100.0), reach(1000.0, 100.0)
    assert OUTCOMES[int(first.argmin())] == "profit"
    assert (later > first).all()
    assert (later < 1.2 * first).all()


def test_nothing_is_shown_before_half_of_what_was_planned():
    start = start_of(1900, 200)
    assert start == size_of(1900, 200) / 2
    arm = moments(RNG(0).random((900, 3)))
    assert not enough(arm, moments(RNG(1).random((99, 3))), start_of(1900, 150))
    assert enough(arm, moments(RNG(1).random((100, 3))), start_of(1700, 180))
    assert not enough(arm, moments(RNG(1).random((100, 3))), start_of(19_000, 2000))


def test_a_small_plan_starts_at_the_smallest_arms():
    assert start_of(20, 20) == size_of(LEAST_CLUSTERS, LEAST_CLUSTERS)


def test_what_hangs_on_few_members_is_not_told():
    rng = RNG(3)
    plain = rng.poisson(2.0, (2000, 4)).astype(float)
    some = plain.copy()
    some[:, 2] = 0.0
    some[:20, 2] = 1000.0  # twenty members spend all of it
    treat, hold = (moments(np.column_stack([rng.random(2000), some])) for _ in range(2))
    alike = spenders(treat, 1)
    assert alike[2] == alike[3] == pytest.approx(20.0)
    assert (alike[:2] > LEAST_SPENDERS).all()
    _, wide = estimated(treat, hold, start=500.0, covariates=1)
    assert np.isfinite(wide).tolist() == [True, True, False, False]


def test_outcomes_that_never_happened_hang_on_nobody():
    arm = moments(np.zeros((200, 5)))
    assert spenders(arm, 1).tolist() == [0.0] * 4
