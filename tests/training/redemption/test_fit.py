import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from training.redemption.fit import BIAS_PENALTY, PENALTY, Choice, choice, logistic

WEIGHTS = np.array([1.5, -1.0, 0.0])


def drawn(seed: int, members: int = 400, coupons: int = 8) -> Choice:
    """Members who redeem one coupon each, by the softmax of WEIGHTS over what they were given."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(members, coupons, 3)).astype(np.float32)
    given = rng.random((members, coupons)) < 0.7
    given[:, 0] = True
    chance = np.exp(table @ WEIGHTS) * given
    chance /= chance.sum(axis=1, keepdims=True)
    redeemed = np.zeros((members, coupons), np.bool_)
    for row, weights in enumerate(chance):
        redeemed[row, rng.choice(coupons, p=weights)] = True
    return Choice(table, given, redeemed)


def test_a_choice_finds_the_weights_that_made_it() -> None:
    examples = [drawn(seed) for seed in range(16)]
    np.testing.assert_allclose(choice(examples, np.zeros(3)), WEIGHTS, atol=0.15)


def test_a_choice_is_the_optimum_of_its_penalised_likelihood() -> None:
    example, prior = drawn(1, members=60), np.array([0.2, 0.1, 0.4])
    spread = example.table[example.given].astype(np.float64).std(axis=0)

    def loss(weights: np.ndarray) -> float:
        logits = np.where(example.given, example.table @ weights, -np.inf)
        total = np.log(np.exp(logits).sum(axis=1, keepdims=True))
        away = ((weights - prior) * spread) ** 2
        return float(-(logits - total)[example.redeemed].sum() + PENALTY / 2 * away.sum())

    slow = minimize(loss, prior, tol=1e-10).x
    np.testing.assert_allclose(choice([example], prior), slow, atol=1e-3)


@given(shift=st.floats(-50, 50))
@settings(max_examples=20)
def test_what_all_coupons_of_a_member_share_does_not_choose(shift: float) -> None:
    example = drawn(2, members=50)
    moved = Choice(example.table + np.float32(shift), example.given, example.redeemed)
    np.testing.assert_allclose(
        choice([moved], np.zeros(3)), choice([example], np.zeros(3)), atol=2e-2
    )


def test_without_examples_the_prior_stays() -> None:
    prior = np.array([0.4, 0.0, -1.0])
    np.testing.assert_allclose(choice([], prior), prior, rtol=1e-6)
    bias, weights = logistic(
        np.zeros((0, 3), np.float32), np.zeros(0, np.bool_), prior=prior, bias=-2.0
    )
    assert bias == pytest.approx(-2)
    np.testing.assert_allclose(weights, prior, rtol=1e-6)


def test_a_chance_is_the_optimum_of_its_penalised_likelihood() -> None:
    rng = np.random.default_rng(3)
    table = (rng.normal(size=(300, 3)) * [1, 4, 0.5] + [0, 7, -2]).astype(np.float32)
    happened = rng.random(300) < 1 / (1 + np.exp(1 - table @ [1, 0.2, 0]))
    prior, means, spread = np.array([0.3, 0.0, 0.1]), table.mean(axis=0), table.std(axis=0)

    def loss(found: np.ndarray) -> float:
        logits = found[0] + (table - means) @ found[1:]
        away = (((found[1:] - prior) * spread) ** 2).sum()
        likelihood = np.logaddexp(0, logits).sum() - logits[happened].sum()
        return float(likelihood + PENALTY / 2 * away + BIAS_PENALTY / 2 * (found[0] + 1) ** 2)

    slow = minimize(loss, np.array([-1, *prior]), tol=1e-10).x
    bias, weights = logistic(table, happened, prior=prior, bias=-1.0)
    np.testing.assert_allclose(weights, slow[1:], atol=1e-3)
    assert bias == pytest.approx(slow[0] - means @ slow[1:], abs=1e-2)


@given(constant=st.floats(-5, 5), happened=st.lists(st.booleans(), min_size=1, max_size=30))
def test_any_table_gives_finite_weights(constant: float, happened: list[bool]) -> None:
    table = np.full((len(happened), 2), constant, np.float32)
    bias, weights = logistic(table, np.array(happened), prior=np.array([0.5, 0.0]), bias=-4.0)
    assert np.isfinite([bias, *weights]).all()
