import subprocess
import sys
from pathlib import Path

import pytest

from campaigns.ledger.ledger import Ledger
from campaigns.verify import verify
from tests.campaigns.kit import NOW, consenting, live_plan

ROOT = Path(__file__).parents[3]
PROCESSES = 4


def start(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.campaigns.ledger.race", *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, cwd=ROOT)


def race(url: str, folder: Path, runners: list[tuple[str, str, str]]) -> list[str]:
    """Starts a process for each (person, contact, campaign), lets all go at once."""
    running = [start(url, str(folder / "ledger.key"), *one, NOW.isoformat()) for one in runners]
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    return [process.communicate(timeout=60)[0] for process in running]


@pytest.mark.slow
def test_of_many_processes_that_claim_one_member_exactly_one_wins(ledger, ledger_url, tmp_path):
    who = consenting(ledger, "ann")
    campaigns = [f"c{number}" for number in range(PROCESSES)]
    for campaign in campaigns:
        live_plan(ledger, campaign)
    answers = race(ledger_url, tmp_path, [(*who, campaign) for campaign in campaigns])
    assert sorted(answers) == ["Claimed", *["Declined"] * (PROCESSES - 1)]
    assert verify(ledger).breaches == ()


@pytest.mark.slow
def test_of_many_processes_that_want_the_last_coupon_exactly_one_gets_it(
    ledger: Ledger, ledger_url, tmp_path
):
    people = [consenting(ledger, f"m{number}") for number in range(PROCESSES)]
    live_plan(ledger, "24", limits={"coupon:c1": 1})
    answers = race(ledger_url, tmp_path, [(*who, "24") for who in people])
    assert sorted(answers) == ["Claimed", *["Declined"] * (PROCESSES - 1)]
    assert verify(ledger).breaches == ()


@pytest.mark.slow
def test_processes_that_open_a_new_ledger_at_once_share_one_key(ledger_url, tmp_path):
    answers = race(ledger_url, tmp_path, [("p", "c", "24")] * PROCESSES)
    assert answers == ["Declined"] * PROCESSES
