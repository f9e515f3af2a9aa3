from dataclasses import fields

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from recsys import features
from recsys.features import (
    BROWSED,
    CLOCK,
    DUE_KNOTS,
    KIND_WEIGHTS,
    NAMES,
    SESSION,
    STATIC,
    Evidence,
    clock,
    hat_basis,
    session,
    session_interest,
    session_weights,
)  # fmt: skip
from recsys.history import KINDS, PURCHASE

FLOATS = st.floats(-10, 10, width=32)


def evidence(**values: list[float]) -> Evidence:
    """Ones for what is not given."""
    size = len(next(iter(values.values())))
    names = [field.name for field in fields(Evidence)]
    whole = {name: np.ones(size, np.float32) for name in names}
    return Evidence(**whole | {name: np.array(value, np.float32) for name, value in values.items()})


@given(arrays.arrays(np.float32, st.integers(0, 20), elements=FLOATS))
def test_rows_of_the_basis_sum_to_one_and_are_no_less_than_nothing(values: np.ndarray) -> None:
    basis = hat_basis(values, DUE_KNOTS)
    np.testing.assert_allclose(basis.sum(axis=1), 1, atol=1e-6)
    assert (basis >= 0).all()


def test_the_basis_is_exact_at_its_knots() -> None:
    np.testing.assert_array_equal(hat_basis(DUE_KNOTS, DUE_KNOTS), np.eye(len(DUE_KNOTS)))


@given(arrays.arrays(np.float32, st.integers(1, 20), elements=FLOATS))
def test_the_basis_interpolates_lines_between_knots_and_is_level_outside(
    values: np.ndarray,
) -> None:
    heights = np.array([3.0, -1.0, 4.0, 1.0, -5.0, 9.0, 2.0], np.float32)
    expected = np.interp(values, DUE_KNOTS, heights)
    np.testing.assert_allclose(hat_basis(values, DUE_KNOTS) @ heights, expected, atol=1e-4)


def test_a_table_has_one_column_a_name() -> None:
    table = features.features(evidence(count=[0, 1, 5], last_day=[90, 90, 80]), 100.0)
    assert table.shape == (3, len(NAMES))
    assert table.dtype == np.float32
    assert np.isfinite(table).all()
    assert len(set(NAMES)) == len(NAMES) == len(STATIC) + len(CLOCK) + len(SESSION)


def test_the_clock_says_nothing_of_what_was_never_bought() -> None:
    found = evidence(count=[0, 1], last_day=[90, 90], interval=[7, 7])
    clocked = features.features(found, 100.0)[:, len(STATIC) : len(STATIC) + len(CLOCK)]
    assert (clocked[0] == 0).all()
    assert clocked[1, 0] == pytest.approx(np.log1p(10))


def test_only_the_clock_moves_with_now() -> None:
    found = evidence(count=[2, 1], last_day=[90, 95], interval=[7, 3])
    early, late = features.features(found, 100.0), features.features(found, 103.0)
    moved = {
        name for name, same in zip(NAMES, (early == late).all(axis=0), strict=True) if not same
    }
    assert moved <= set(CLOCK)
    assert "age" in moved


def test_a_product_is_due_when_its_interval_is_over() -> None:
    table = clock(107.0, np.array([100.0], np.float32), np.array([7.0], np.float32))
    due = dict(zip(CLOCK, table[0].tolist(), strict=True))
    assert {name: value for name, value in due.items() if name.startswith("due")} == {
        "due_-2": 0, "due_-1": 0, "due_+0": 1, "due_+1": 0, "due_+2": 0, "due_+4": 0,
    }  # fmt: skip


def test_the_clock_is_finite_for_purchases_of_today_and_of_tomorrow() -> None:
    table = clock(100.0, np.array([100, 101], np.float32), np.array([0, 7], np.float32))
    assert np.isfinite(table).all()


def test_a_session_fades_and_a_return_speaks_against() -> None:
    kinds = np.array([KINDS.index(kind) for kind in ("purchase", "purchase", "view", "return")])
    days = np.array([10.0, 9.0, 10.0, 10.0])
    weights = session_weights(10.0, days, kinds.astype(np.uint8))
    np.testing.assert_allclose(weights, [1, np.exp(-1), 0.5, -1], rtol=1e-6)
    # an event from a clock a little ahead is an event of now
    assert session_weights(9.9, days[:1], kinds[:1].astype(np.uint8))[0] == 1


def test_a_session_of_dislike_is_no_session() -> None:
    columns = session(np.array([-3, 0, 0.5], np.float32), np.array([0, 1, 0], np.float32))
    assert columns.shape == (3, len(SESSION))
    np.testing.assert_allclose(columns[:, 0], [0, 0, np.log1p(5)], rtol=1e-6)
    np.testing.assert_allclose(columns[:, 1], [0, np.log1p(1), 0], rtol=1e-6)


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(range(len(KIND_WEIGHTS))), st.integers(-1, 3)), max_size=20)
)
def test_interest_in_a_category_lasts_until_something_of_it_is_bought(
    events: list[tuple[int, int]],
) -> None:
    kinds, groups = (np.array(one, int) for one in (list(zip(*events, strict=True)) or ([], [])))
    weights = np.linspace(1, 2, len(events), dtype=np.float32)
    expected = [
        weights[at] if BROWSED[kind] and group >= 0 and (PURCHASE, group) not in events[at:] else 0
        for at, (kind, group) in enumerate(events)
    ]
    found = session_interest(weights, kinds.astype(np.uint8), groups)
    np.testing.assert_array_equal(found, np.array(expected, np.float32))


def test_some_pairs_of_evidence_are_those_pairs() -> None:
    taken = evidence(count=[1, 2, 3]).take(np.array([2, 0]))
    assert taken.count.tolist() == [3, 1]
    assert all(len(getattr(taken, field.name)) == 2 for field in fields(Evidence))
