from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys import measured as module
from recsys.errors import ModelError
from recsys.measured import FILE, Measured
from recsys.redemption import CHANCE
from recsys.uplift import Effect, Line, basis_of


def effect(names: tuple[str, ...] = CHANCE) -> Effect:
    rng = np.random.default_rng(1)
    basis = basis_of(rng.normal(size=(200, len(names))), names)
    return Effect(basis, Line(rng.normal(size=basis.size), 0.1), slope=0.5, shift=0.2)


SEEN = Measured(effect(), 12_340, "products")


def table(members: int, coupons: int, seed: int = 2) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(members, coupons, len(CHANCE))).astype(np.float32)
    return features, rng.random((members, coupons)).astype(np.float32)


def read(told: bytes, folder: Path) -> Measured | None:
    (folder / FILE).write_bytes(told)
    return Measured.read({FILE: folder / FILE})


def test_what_is_written_is_read(tmp_path: Path) -> None:
    features, chance = table(5, 3)
    again = read(SEEN.to_bytes(), tmp_path)
    assert again is not None
    assert (
        again.basis
        == SEEN.basis
        == "measured: 12,340 pushes drawn by lot, some held out (products)"
    )
    np.testing.assert_array_equal(
        again.gained(features, chance).orders, SEEN.gained(features, chance).orders
    )
    assert Measured.read({}) is None


def test_an_effect_over_other_features_is_refused(tmp_path: Path) -> None:
    other = Measured(effect((*CHANCE[1:], "mood")), 1, "rule")
    with pytest.raises(ModelError, match="Train it again"):
        read(other.to_bytes(), tmp_path)


@given(members=st.integers(0, 9), coupons=st.integers(0, 5), rows=st.integers(1, 12))
def test_pairs_are_valued_alike_however_many_there_are(
    members: int, coupons: int, rows: int
) -> None:
    features, chance = table(members, coupons)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_ROWS", rows)
        found = SEEN.gained(features, chance).orders
    assert found.shape == chance.shape
    assert found.dtype == np.float32
    for place in np.ndindex(found.shape):
        one = SEEN.effect.of(module.features(features[place][None]))[0] * chance[place]
        assert found[place] == pytest.approx(one, rel=1e-5, abs=1e-6)


def test_twice_the_chance_brings_twice_the_orders() -> None:
    features, chance = table(6, 4)
    once, twice = (SEEN.gained(features, times * chance).orders for times in (1, 2))
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-5)


def test_what_a_model_keeps_coarsely_passes_the_same_steps() -> None:
    features, _ = table(50, 2)
    stored = features.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(module.features(features), module.features(stored))
