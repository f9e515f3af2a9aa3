"""Any filter means what plain Python says, or is refused as a filter; it is never a defect."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.errors import FilterError
from recsys.filters import Coded, Column, parse
from tests.recsys.filter_texts import MismatchError, Written, expressions, spoilt

VALUES: dict[str, list[Any]] = {
    "number": [1.0, -2.5, None, 3.0, 0.0, 1e300],
    "flag": [True, False, True, True, False, False],
    "maybe": [True, None, False, None, True, True],
    "object_text": ["x", "", None, 'a"b\\', "牛奶", "x\x00"],
    "plain_text": ["x", "y", "", "xy", "牛奶", "Z"],
    "string_text": ["x", None, "", "xy", "牛奶 1", "x\x00"],
    "coded_text": ["A", "B", None, "A", "A > B", "B"],
    "texts": [("a", "b"), (), None, ("牛奶",), ("b",), ("a",)],
    "coded_texts": [("a", "b"), None, ("c",), None, ("a", "b"), ("c",)],
}
ROWS = [dict(zip(VALUES, row, strict=True)) for row in zip(*VALUES.values(), strict=True)]


def objects(values: list[Any]) -> np.ndarray[Any, Any]:
    column = np.empty(len(values), object)
    for at, value in enumerate(values):
        column[at] = value
    return column


def coded(values: list[Any]) -> Coded:
    known = list(dict.fromkeys(value for value in values if value is not None))
    codes = np.array([-1 if value is None else known.index(value) for value in values])
    return Coded(codes, objects([*known, None]))


COLUMNS: dict[str, Column] = {
    "number": np.array(VALUES["number"], float),
    "flag": np.array(VALUES["flag"]),
    "maybe": coded(VALUES["maybe"]),
    "object_text": objects(VALUES["object_text"]),
    "plain_text": np.array(VALUES["plain_text"]),
    "string_text": np.array(VALUES["string_text"], np.dtypes.StringDType(na_object=None)),
    "coded_text": coded(VALUES["coded_text"]),
    "texts": objects(VALUES["texts"]),
    "coded_texts": coded(VALUES["coded_texts"]),
}
EXPRESSIONS = expressions(VALUES)
SIZES = [300, pytest.param(20_000, marks=pytest.mark.soak)]


def many(examples: int) -> settings:
    slow = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    return settings(max_examples=examples, deadline=None, database=None, suppress_health_check=slow)


def mask(text: str) -> list[bool] | None:
    """None where it is refused; any other error fails the test."""
    try:
        found = parse(text).mask(COLUMNS)
    except FilterError:
        return None
    assert found.dtype == np.bool_
    return [bool(passes) for passes in found]


def meant(written: Written) -> list[bool] | None:
    try:
        return [written.passes(row) for row in ROWS]
    except MismatchError:
        return None


@pytest.mark.parametrize("examples", SIZES)
def test_any_expression_over_any_kind_of_column_means_what_plain_python_says(examples: int) -> None:
    @many(examples)
    @given(EXPRESSIONS)
    def agree(written: Written) -> None:
        assert mask(written.text) == meant(written)

    agree()


@pytest.mark.parametrize("examples", SIZES)
def test_a_spoilt_expression_is_read_or_refused(examples: int) -> None:
    @many(examples)
    @given(spoilt(EXPRESSIONS) | st.text(max_size=80))
    def harmless(text: str) -> None:
        assert (found := mask(text)) is None or len(found) == len(ROWS)

    harmless()
