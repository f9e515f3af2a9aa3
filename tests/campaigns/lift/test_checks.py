import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.lift.checks import MISMATCH, sample_ratio
from recsys.ids import unit_interval


@pytest.mark.parametrize("share", [0.05, 0.2, 0.5])
def test_a_split_by_lot_is_seldom_taken_for_a_fault(share):
    held = np.random.default_rng(0).binomial(2000, share, 5000)
    alarms = np.mean([sample_ratio(2000 - n, n, share) < MISMATCH for n in held.tolist()])
    assert alarms <= 0.0024  # 0.001, and three standard errors of 5,000 tries


@pytest.mark.parametrize("epoch", [1, 2])
def test_the_draw_itself_is_no_fault(epoch):
    """The hashes that arms are drawn by, over many contact points."""
    held = sum(unit_interval(f"holdout/tea/{epoch}", str(at)) < 0.05 for at in range(200_000))
    assert sample_ratio(200_000 - held, held, 0.05) > MISMATCH


@given(st.integers(0, 5000), st.floats(0.01, 0.99))
def test_it_is_a_chance_and_a_worse_split_is_no_likelier(held, share):
    total = 5000
    expected = round(share * total)
    further = held + (1 if held >= expected else -1)
    chance = sample_ratio(total - held, held, share)
    assert 0 <= chance <= 1
    if 0 <= further <= total:
        assert sample_ratio(total - further, further, share) <= chance * (1 + 1e-9)


def test_a_lost_part_of_the_holdout_is_found():
    assert sample_ratio(19_000, 1000, 0.05) > 0.9
    assert sample_ratio(19_000, 880, 0.05) < MISMATCH
    assert sample_ratio(0, 0, 0.05) == 1.0
