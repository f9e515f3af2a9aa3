import numpy as np
import pytest

from recsys.features import MEMBER
from recsys.scoring import sigmoid
from training import visit


def test_the_chance_to_come_is_learned_from_who_came() -> None:
    rng = np.random.default_rng(1)
    columns = rng.normal(size=(5_000, len(MEMBER))).astype(np.float32)
    truth = np.array([1.0, -0.5, -2.0], np.float32)
    came = rng.random(len(columns)) < sigmoid(columns @ truth)
    found = visit.fit([columns[:2_000], columns[2_000:]], [came[:2_000], came[2_000:]])
    np.testing.assert_allclose(found.weights, truth, atol=0.25)
    assert found.chance(columns).mean() == pytest.approx(came.mean(), abs=0.01)


@pytest.mark.parametrize("came", [np.ones(500, np.bool_), np.arange(500) < visit.LEAST_BUYERS - 1])
def test_with_nobody_to_compare_with_every_member_comes(came: np.ndarray) -> None:
    columns = np.random.default_rng(1).normal(size=(500, len(MEMBER))).astype(np.float32)
    assert visit.fit([columns], [came]).chance(columns).min() > 0.999
    assert visit.fit([], []).chance(columns).min() > 0.999
