"""A bucket lets a burst through and then the rate, for each caller, in bounded memory."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.doors.rate import MOST_TOLD, Buckets, is_loopback, neighbourhood, sign

A, B = sign("a"), sign("b")


def test_a_burst_then_the_rate() -> None:
    buckets = Buckets(10, 5)
    assert [buckets.take(A, now=100.0) for _ in range(5)] == [0] * 5
    assert buckets.take(A, now=100.0) == pytest.approx(0.1)
    assert buckets.take(A, now=100.05) == pytest.approx(0.05)
    assert buckets.take(A, now=100.1) == 0
    assert buckets.take(A, now=100.1) == pytest.approx(0.1)
    assert buckets.take(B, now=100.1) == 0, "each has a bucket of its own"
    assert [buckets.take(A, now=200.0) for _ in range(6)][-2:] == [0, pytest.approx(0.1)]


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
        wait = buckets.take(A, now=now)
        passed += not wait
        if wait:
            assert buckets.take(A, now=now + wait) == 0
            now += wait
            passed += 1
        assert passed <= burst + rate * (now - 1000) + 1e-3 * rate + 1e-6


def test_the_one_used_least_recently_is_forgotten() -> None:
    buckets = Buckets(1, 1, most=3)
    for who in "abc":
        assert buckets.take(sign(who), now=0) == 0
    assert buckets.take(A, now=2) == 0
    assert buckets.take(sign("d"), now=2) == 0
    assert len(buckets) == 3
    assert buckets.take(A, now=2) > 0, "a was used since, and is still known"
    assert buckets.take(B, now=2) == 0


def test_a_sign_tells_callers_apart_and_says_nothing_of_them() -> None:
    parts = [("member", "ann"), ("visitor", "ann"), ("memberann",), ("", "memberann"), ("1.2.3.4",)]
    assert len({sign(*one) for one in parts}) == len(parts)
    assert all(isinstance(sign(*one), int) for one in parts)


def test_what_was_let_through_is_told_once_and_what_was_refused_is_not() -> None:
    buckets = Buckets(10, 3)
    waits = [buckets.take(A, now=5.0) for _ in range(5)]
    buckets.take(B, now=5.0)
    assert [wait > 0 for wait in waits] == [False] * 3 + [True] * 2
    assert buckets.told() == {A: 3, B: 1}
    assert buckets.told() == {}


def test_who_took_most_is_told_where_there_are_too_many() -> None:
    buckets = Buckets(10, 3)
    for who in range(MOST_TOLD + 100):
        for _ in range(2 if who >= 100 else 1):
            buckets.take(who, now=5.0)
    assert set(buckets.told()) == set(range(100, MOST_TOLD + 100))


def test_what_another_worker_let_through_counts_here() -> None:
    buckets = Buckets(10, 5)
    buckets.hear({A: 14}, since=99.0, now=100.0)
    assert buckets.take(A, now=100.0) == 0, "the last of ten a second and a burst of five"
    assert buckets.take(A, now=100.0) == pytest.approx(0.1)
    buckets.hear({B: 3}, since=99.0, now=100.0)
    assert [buckets.take(B, now=100.0) for _ in range(5)] == [0] * 5, "three in a second are few"
    buckets.hear({A: 1000}, since=0.0, now=101.0)
    assert buckets.take(A, now=101.0) > 90, "where it was long not heard, all of it counts"


Asks = st.lists(st.tuples(st.integers(0, 2), st.floats(0, 0.4)), max_size=300)


def over_workers(rate: float, burst: int, asks: list[tuple[int, float]]) -> tuple[int, int, float]:
    """Three workers that tell each other once a second, each at its own time of the second; how
    many were let through and refused, and the seconds from the first to the last."""
    crew = [Buckets(rate, burst) for _ in range(3)]
    log: list[tuple[int, dict[int, int]]] = []
    read, told_at = [0, 0, 0], [1000.0, 1000.3, 1000.6]
    now, passed, refused = 1000.0, 0, 0
    for worker, gap in asks:
        now += gap
        while (at := min(told_at)) <= now:
            one = told_at.index(at)
            for whose, taken in log[read[one] :]:
                if whose != one:
                    crew[one].hear(taken, since=at - 1, now=at)
            log.append((one, dict(crew[one].told())))
            read[one] = len(log)
            told_at[one] = at + 1
        wait = crew[worker].take(A, now=now)
        passed, refused = passed + (not wait), refused + (wait > 0)
    return passed, refused, now - 1000


@given(rate=st.floats(1, 50), burst=st.integers(1, 50), asks=Asks)
def test_three_workers_let_through_little_more_than_one(
    rate: float, burst: int, asks: list[tuple[int, float]]
) -> None:
    passed, _, seconds = over_workers(rate, burst, asks)
    assert passed <= (burst + rate * seconds) + 2 * (burst + 2 * rate) + 1e-6


@given(
    rate=st.floats(1, 50),
    workers=st.lists(st.integers(0, 2), max_size=300),
    pause=st.integers(1, 5),
)
def test_who_keeps_to_the_rate_is_never_refused_whichever_worker_answers(
    rate: float, workers: list[int], pause: int
) -> None:
    asks = [(worker, (pause if at % 7 == 0 else 1) / rate) for at, worker in enumerate(workers)]
    _, refused, _ = over_workers(rate, 2 + int(2 * rate), asks)
    assert refused == 0


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
