import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import DataError
from tests.training.uplift.trials import trial
from training.uplift.trial import Trial, uplift_at


def small(**changes: np.ndarray) -> Trial:
    columns = {
        "features": np.zeros((50, 1)),
        "pushed": np.arange(50) < 25,
        "chance": np.full(50, 0.5),
        "outcome": np.zeros(50),
    }
    return Trial(("spend",), **(columns | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"features": np.zeros((50, 2))}, "1 features"),
        ({"features": np.full((50, 1), np.nan)}, "spend of the trial has 50 values"),
        ({"outcome": np.full(50, np.inf)}, "outcome of the trial has 50 values"),
        ({"outcome": np.zeros(49)}, "outcome of the trial"),
        ({"chance": np.full(50, 1.0)}, "chance of a push was 0 or 1"),
        ({"chance": np.full(49, 0.5)}, "chance of a push"),
        ({"pushed": np.arange(50) < 45}, "5 members of the trial were held out"),
        ({"pushed": np.arange(50) < 3}, "3 members of the trial were pushed"),
    ],
)
def test_what_is_no_trial_is_refused_by_name(changes: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(DataError, match=message):
        small(**changes)


def test_uplift_at_a_share_is_a_difference_of_means() -> None:
    found = trial(lambda x: x[:, 0], rows=4000, rng=np.random.default_rng(0))
    score = found.features[:, 0] + np.random.default_rng(1).normal(size=4000)
    means = []
    for arm in (found.pushed, ~found.pushed):
        best = np.argsort(-score[arm])[: round(0.25 * arm.sum())]
        means.append(found.outcome[arm][best].mean())
    assert uplift_at(score, found, share=0.25) == pytest.approx(means[0] - means[1], abs=0.01)


def test_a_score_that_tells_nobody_apart_has_the_mean_effect() -> None:
    found = trial(lambda _: 1.0, rows=500, rng=np.random.default_rng(0))
    mean = found.outcome[found.pushed].mean() - found.outcome[~found.pushed].mean()
    for share in (0.01, 0.3, 1.0):
        assert uplift_at(np.zeros(500), found, share=share) == pytest.approx(mean)


@given(seed=st.integers(0, 50), share=st.floats(0.05, 1))
def test_the_order_of_the_rows_is_no_matter(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    found = trial(lambda x: x[:, 0], rows=200, rng=rng)
    score = rng.integers(0, 3, 200).astype(float)  # many equal
    order = rng.permutation(200)
    again = uplift_at(score[order], found.rows(order), share=share)
    assert again == pytest.approx(uplift_at(score, found, share=share))
