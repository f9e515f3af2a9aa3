import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.parallel import LEAST_SPANS, in_order, spans


def test_results_come_in_the_order_of_the_parts() -> None:
    def slowly(part: int) -> int:
        time.sleep(0.01 * (5 - part))
        return part * part

    assert in_order(slowly, range(5)) == [0, 1, 4, 9, 16]
    assert in_order(slowly, []) == []


def test_an_error_of_one_part_is_raised() -> None:
    with pytest.raises(ZeroDivisionError):
        in_order(lambda part: 1 // part, [1, 0, 1])


@given(st.integers(0, 5000), st.integers(1, 700))
def test_spans_hold_every_row_once_and_no_more_than_asked(size: int, most: int) -> None:
    found = list(spans(size, most))
    assert [row for span in found for row in range(size)[span]] == list(range(size))
    assert all(span.stop - span.start <= most for span in found)
    assert len(found) >= min(size, LEAST_SPANS)
