"""Several workers behind one port: one truth, and no worker that is missed when it dies."""

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.metrics import SHARED
from tests.serving.live import EVENTS, RECOMMENDATIONS, event
from tests.serving.served import Served, command_line, eventually, served
from tests.small_shop import MEMBERS

pytestmark = pytest.mark.slow
ANSWERED = "guesslike_requests_total"


@pytest.fixture(scope="module")
def running(small_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("workers") / "home"
    with served(small_model, home, "--workers", "2") as running:
        eventually(lambda: len(running.workers()) == 2)
        eventually(lambda: running.log.count("answering on http") == 2)
        yield running


def counted(running: Served, name: str, **labels: str) -> float:
    """A series' value; the sum over all that have these labels."""
    return sum(
        sample.value
        for family in text_string_to_metric_families(running.get("/metrics").text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def products(running: Served, member: str) -> list[str]:
    answer = running.get(RECOMMENDATIONS, member_id=member)
    assert answer.status_code == 200, answer.text
    return [item["product_id"] for item in answer.json()["items"]]


def test_an_event_that_one_worker_took_counts_in_all(running: Served) -> None:
    for member in MEMBERS[:10]:
        before = products(running, member)
        bought = event("purchase", before[0], member_id=member)
        assert running.post(EVENTS, {"events": [bought]}).json()["accepted"] == 1
        assert all(before[0] not in products(running, member) for _ in range(8))


def test_an_event_that_is_sent_to_all_at_once_is_accepted_once(running: Served) -> None:
    batches = [[event("view", "p10", member_id=MEMBERS[20 + n])] * 4 for n in range(10)]
    with ThreadPoolExecutor(16) as senders:
        answers = list(
            senders.map(lambda events: running.post(EVENTS, {"events": events}), batches * 6)
        )
    assert {answer.status_code for answer in answers} == {200}
    assert sum(answer.json()["accepted"] for answer in answers) == len(batches)


def test_all_workers_are_counted_whichever_is_asked_and_a_dead_one_stays_so(
    running: Served,
) -> None:
    route = {"route": RECOMMENDATIONS, "status": "200"}
    before = counted(running, ANSWERED, **route)
    with ThreadPoolExecutor(8) as readers:
        list(readers.map(lambda member: products(running, member), MEMBERS[:40]))
    assert [counted(running, ANSWERED, **route) for _ in range(6)] == [before + 40] * 6

    first = running.workers()
    os.kill(first[0], signal.SIGKILL)
    eventually(lambda: len(running.workers()) == 2 and first[0] not in running.workers())
    starts = running.log.count("answering on http")
    assert len(products(running, MEMBERS[0])) == 20, "the other one answers meanwhile"
    eventually(lambda: running.log.count("answering on http") == max(3, starts))
    assert "died (exit code -9), starting it anew" in running.log
    assert [counted(running, ANSWERED, **route) for _ in range(6)] == [before + 41] * 6


def test_each_worker_answers_the_links_of_messages_too(running: Served) -> None:
    answers = [running.get("/u/no-such-token") for _ in range(4)]
    assert {answer.status_code for answer in answers} == {404}
    assert all("none of ours" in answer.text for answer in answers)
    assert counted(running, ANSWERED, route="/u/{token}", status="404") == 4
    assert "no-such-token" not in running.get("/metrics").text


def test_the_workers_clocks_go_together(running: Served) -> None:
    ages = {running.get("/readyz").json()["model_age_days"] for _ in range(8)}
    assert max(ages) - min(ages) <= 0.01


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_worker_outlives_its_supervisor(
    small_model: Path, tmp_path: Path, number: signal.Signals
) -> None:
    with served(small_model, tmp_path / "home", workers=2) as running:
        eventually(lambda: running.log.count("answering on http") == 2)
        workers = running.workers()
        assert len(workers) == 2
        numbers = [folder for worker in workers for folder in numbers_of(worker)]
        assert len(set(numbers)) == 1
        running.process.send_signal(number)
        assert running.process.wait(30) == (0 if number == signal.SIGTERM else -signal.SIGKILL)
        eventually(lambda: not any(command_line(worker) for worker in workers))
        assert not numbers[0].exists()
        assert "Traceback" not in running.log


def numbers_of(worker: int) -> list[Path]:
    """The folder in which a worker counts."""
    environment = Path(f"/proc/{worker}/environ").read_text().split("\0")
    return [Path(line.partition("=")[2]) for line in environment if line.startswith(f"{SHARED}=")]


def test_a_service_in_which_no_worker_can_start_ends(small_model: Path, tmp_path: Path) -> None:
    with served(small_model, tmp_path / "home", workers=2, ready=False) as running:
        eventually(lambda: len(running.workers()) == 2)
        for worker in running.workers():
            os.kill(worker, signal.SIGKILL)
        assert running.process.wait(60) == 3, running.log
        assert "no worker could start" in running.log
