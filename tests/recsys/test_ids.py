import subprocess
import sys

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.ids import IdIndex, stable_hash, unit_interval

IDS = st.lists(st.text(max_size=8), unique=True, max_size=30)


@given(IDS, st.text(max_size=8))
def test_an_index_finds_every_id_and_no_other(ids: list[str], other: str) -> None:
    index = IdIndex.build(ids)
    assert [index.row(text) for text in ids] == list(range(len(ids)))
    assert index.texts() == ids
    assert [index.text(row) for row in range(len(index))] == ids
    if other not in ids:
        assert index.row(other) is None


@given(IDS, st.integers(0, 30))
def test_an_index_and_more_ids_is_the_index_of_all(ids: list[str], cut: int) -> None:
    longer = IdIndex.build(ids[:cut]).plus(ids[cut:])
    assert [longer.row(text) for text in ids] == list(range(len(ids)))
    assert longer.texts() == ids


@given(IDS)
def test_an_index_comes_back_from_its_arrays(ids: list[str]) -> None:
    again = IdIndex.from_arrays(IdIndex.build(ids).arrays("members"), "members")
    assert again.texts() == ids
    assert all(again.row(text) == row for row, text in enumerate(ids))


def test_two_ids_with_one_hash_stay_two_ids() -> None:
    built = IdIndex.build(["a", "b", "c"])
    same = np.full(3, stable_hash("b"), np.uint64)
    collided = IdIndex(same, built.rows, built.offsets, built.blob)
    assert collided.row("b") == 1
    assert collided.row("a") is None  # its own hash is not in the index


def test_a_hash_is_the_same_in_every_process() -> None:
    code = "from recsys.ids import stable_hash; print(stable_hash('Müsli'))"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    assert int(printed) == stable_hash("Müsli")


def test_a_hash_is_the_same_in_every_release() -> None:
    # arms of running campaigns hang on it
    assert stable_hash("m1") == 6104225451280506833
    assert unit_interval("arms", "m1") == 0.043878265212343774


def test_derived_numbers_fill_the_unit_interval_and_depend_on_the_salt() -> None:
    drawn = np.array([unit_interval("arms", f"m{number}") for number in range(4000)])
    assert 0 <= drawn.min() < drawn.max() < 1
    shares = np.histogram(drawn, bins=10, range=(0, 1))[0] / len(drawn)
    assert np.abs(shares - 0.1).max() < 0.02
    other = [unit_interval("window", f"m{number}") for number in range(4000)]
    assert abs(np.corrcoef(drawn, other)[0, 1]) < 0.05
