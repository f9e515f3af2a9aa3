import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from recsys.uplift import Effect, Line, basis_of

NAMES = ("spend", "member", "constant")


def table(seed: int = 0, rows: int = 200) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.column_stack(
        (rng.gamma(2.0, 10.0, rows), rng.integers(0, 2, rows), np.full(rows, 7.0))
    )


def test_columns_are_features_then_steps_then_products() -> None:
    known = table()
    basis = basis_of(known, NAMES)
    assert [basis.label(at) for at in range(3)] == [*NAMES]
    assert [basis.label(at).split(" > ")[0] for at in range(3, basis.plain)] == [
        *["spend"] * 4,
        "member",
    ]
    assert [basis.label(at) for at in range(basis.plain, basis.size)] == ["spend × spend"]
    found = basis.columns(known)
    assert found.shape == (200, basis.size)
    spend = np.clip((known[:, 0] - known[:, 0].mean()) / known[:, 0].std(), -3, 3)
    np.testing.assert_allclose(found[:, 0], spend)
    np.testing.assert_allclose(found[:, -1], spend**2)
    np.testing.assert_array_equal(found[:, basis.plain - 1], known[:, 1])  # member > 0
    assert 0.55 <= found[:, 4].mean() <= 0.65  # above the second of five parts
    assert not found[:, 2].any()  # a constant says nothing, and is not divided by


def test_a_far_value_counts_as_a_large_one() -> None:
    basis = basis_of(table(), NAMES)
    far, farther = (basis.columns(np.array([[spend, 0.0, 7.0]])) for spend in (1e4, 1e9))
    np.testing.assert_array_equal(far, farther)


@given(
    held=st.floats(-3, 3), move=st.floats(-3, 3), slope=st.floats(0, 1), shift=st.floats(-0.1, 0.1)
)
def test_a_move_of_odds_is_a_difference_of_chances(
    held: float, move: float, slope: float, shift: float
) -> None:
    basis = basis_of(table(), NAMES)
    effect = Effect(basis, Line(np.zeros(0), move), Line(np.zeros(0), held), slope, shift)
    expected = slope * (expit(held + move) - expit(held)) + shift
    np.testing.assert_allclose(effect.of(table(1, 5)), expected, atol=1e-12)


@pytest.mark.parametrize("held", [False, True])
def test_an_effect_survives_its_file(*, held: bool) -> None:
    rng = np.random.default_rng(3)
    basis = basis_of(table(), NAMES)
    base = Line(rng.normal(size=basis.size), -0.3) if held else None
    effect = Effect(basis, Line(rng.normal(size=basis.plain), 0.2), base, 0.7, 0.01)
    read = Effect.from_json(json.loads(json.dumps(effect.to_json())))
    np.testing.assert_array_equal(read.of(table(5)), effect.of(table(5)))
    assert read.basis.names == NAMES


def test_other_features_are_refused() -> None:
    effect = Effect(basis_of(table(), NAMES), Line(np.zeros(0), 0.1))
    with pytest.raises(ValueError, match="learned on"):
        effect.of(table()[:, :2])
