import os
from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import repeat

import httpx
import numpy as np
import pytest

from benchmarks.serving.bench import Server, faults, measure, running
from benchmarks.serving.load import Request, fixed_rate, full_speed, parse
from benchmarks.serving.server import NO_OP_BODY, NO_OP_PATH
from benchmarks.serving.traffic import exactly, full_list, mixed, prepared, reads, writes
from tests.benchmarks.tiny_app import SHORT, SLOW

AT = datetime(2017, 12, 31, tzinfo=UTC)
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    core = min(os.sched_getaffinity(0))
    with running(cores={core}, clock=AT, app="tests.benchmarks.tiny_app:create_app") as server:
        yield server


@pytest.fixture(scope="module")
def port(server: Server) -> int:
    return server.port


def personal(*members: str) -> Iterator[Request]:
    rng = np.random.default_rng(1)
    reading = reads(members, accepts=full_list(20), rng=rng)
    return mixed(reading, writes(members, ["p"], at=AT, rng=rng))


def test_full_speed_gets_a_good_answer_to_every_request(port: int) -> None:
    seen = full_speed(port, prepared(personal("a", "b"), 500), seconds=1)
    assert (len(seen.latencies), seen.refused, seen.unanswered) == (500, 0, 0)
    assert (seen.latencies > 0).all()


def test_one_request_in_ten_is_a_write_of_a_new_event(port: int) -> None:
    before = httpx.get(f"http://127.0.0.1:{port}/taken").json()
    full_speed(port, prepared(personal("a"), 500), seconds=1)
    after = httpx.get(f"http://127.0.0.1:{port}/taken").json()
    new = after[len(before) :]
    assert len({event["event_id"] for event in after}) == len(after)
    assert len(new) == 50


def test_a_list_that_is_not_full_is_refused_and_shown(port: int) -> None:
    seen = full_speed(port, prepared(personal(SHORT), 10), seconds=0.2)
    assert seen.refused == 9
    assert "200" in seen.example


def test_the_no_op_declares_what_the_real_route_declares(port: int) -> None:
    real, no_op = (f"http://127.0.0.1:{port}{path}" for path in ("/v1/recommendations", NO_OP_PATH))
    for query in (
        "?limit=20",
        "?member_id=a&placement=home&limit=0",
        "?member_id=a&placement=home",
    ):
        assert httpx.get(no_op + query).status_code == httpx.get(real + query).status_code
    assert httpx.get(f"{no_op}?member_id=a&placement=home").content == NO_OP_BODY


def test_time_behind_a_slow_answer_counts_at_a_fixed_rate(port: int) -> None:
    rng = np.random.default_rng(1)
    slow = next(reads([SLOW], accepts=full_list(20), rng=rng))
    seen = fixed_rate(port, repeat(slow), rate=40, seconds=0.5, connections=1)
    # 20 requests due within half a second, answered one by one in 0.1 s: the last waits 1.5 s
    assert (len(seen.latencies), seen.unanswered) == (20, 0)
    assert 1.3 < seen.quantile(1) < 3
    assert seen.quantile(0.5) > 0.5


def test_a_fixed_rate_is_kept(port: int) -> None:
    seen = fixed_rate(port, prepared(personal("a"), 200), rate=200, seconds=1)
    assert seen.per_second == 200


def test_a_whole_measurement_has_both_sides_and_no_faults(server: Server) -> None:
    no_op = reads(["a"], path=NO_OP_PATH, accepts=exactly(NO_OP_BODY), rng=np.random.default_rng(1))
    found = measure(server, personal("a"), no_op, seconds=0.2, rounds=2)
    assert [len(rounds) for rounds in found["rounds"].values()] == [2, 2]
    assert found["ratio"] > 0
    assert 0 < found["server_busy"] <= 1.1
    assert found["p99_ratio"] > 0
    assert faults(found | {"generator_busy": 0.5}, at_least=0, p99_at_most=1e9) == []


@pytest.mark.parametrize(
    "change",
    [
        {"refused": 1}, {"unanswered": 1}, {"generator_busy": 0.95}, {"ratio": 0.39},
        {"p99_ratio": 3.1},
    ],
)  # fmt: skip
def test_a_result_that_does_not_stand_is_a_fault(change: dict[str, float]) -> None:
    good = {"refused": 0, "unanswered": 0, "generator_busy": 0.5, "ratio": 0.41, "example": ""}
    good |= {"p99_ratio": 2.9}
    assert faults(good, at_least=0.4, p99_at_most=3) == []
    assert len(faults(good | change, at_least=0.4, p99_at_most=3)) == 1


def test_an_answer_in_pieces_is_put_together() -> None:
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nserver: x\r\n\r\nbody"
    assert all(parse(whole[:n]) is None for n in range(len(whole)))
    assert parse(whole) == (200, b"body")
    assert parse(b"HTTP/1.1 204 No Content\r\n\r\n") == (204, b"")
    with pytest.raises(ValueError, match="no Content-Length"):
        parse(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
