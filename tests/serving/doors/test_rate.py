"""A bucket lets a burst through and then the rate, for each caller, in bounded memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.doors.rate import Buckets, is_loopback, neighbourhood


def test_a_burst_then_the_rate() -> None:
    buckets = Buckets(10, 5)
    assert [buckets.take("a", now=100.0) for _ in range(5)] == [0] * 5
    assert buckets.take("a", now=100.0) == pytest.approx(0.1)
    assert buckets.take("a", now=100.05) == pytest.approx(0.05)
    assert buckets.take("a", now=100.1) == 0
    assert buckets.take("a", now=100.1) == pytest.approx(0.1)
    assert buckets.take("b", now=100.1) == 0, "each has a bucket of its own"
    assert [buckets.take("a", now=200.0) for _ in range(6)][-2:] == [0, pytest.approx(0.1)]


@given(
    rate=st.floats(0.01, 1e4),
    burst=st.integers(1, 50),
    gaps=st.lists(st.floats(0, 100), max_size=200),
)
def test_never_more_than_burst_and_rate_and_never_less_than_told(
    rate: float, burst: int, gaps: list[float]
) -> None:
    buckets, now, passed = Buckets(rate, burst), 1000.0, 0
    for gap in gaps:
        now += gap
        wait = buckets.take("a", now=now)
        passed += not wait
        if wait:
            assert buckets.take("a", now=now + wait) == 0
            now += wait
            passed += 1
        assert passed <= burst + rate * (now - 1000) + 1e-3 * rate + 1e-6


def test_the_one_used_least_recently_is_forgotten() -> None:
    buckets = Buckets(1, 1, most=3)
    for who in "abc":
        assert buckets.take(who, now=0) == 0
    assert buckets.take("a", now=2) == 0
    assert buckets.take("d", now=2) == 0
    assert len(buckets) == 3
    assert buckets.take("a", now=2) > 0, "a was used since, and is still known"
    assert buckets.take("b", now=2) == 0


@pytest.mark.parametrize(
    ("host", "stands_for"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("", ""),
        ("not:an:address", "not:an:address"),
    ],
)
def test_a_line_with_many_addresses_is_one_client(host: str, stands_for: str) -> None:
    assert neighbourhood(host) == stands_for


@pytest.mark.parametrize(
    ("host", "is_here"),
    [("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("localhost", True),
     ("0.0.0.0", False), ("::", False), ("", False), ("10.0.0.1", False), ("shop.example", False)],
)  # fmt: skip
def test_what_only_this_machine_reaches(host: str, is_here: bool) -> None:
    assert is_loopback(host) is is_here
