"""Workers × campaigns × one member behind a barrier, again and again: one claim each round."""

import json
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from campaigns.ledger.consent import Statement, record
from campaigns.verify import verify
from tests.campaigns.kit import NOW, WEEK, live_plan
from tests.campaigns.ledger.racer import CAMPAIGNS, member

ROOT = Path(__file__).parents[3]
WORKERS = 4
HEAD_START = 0.001  # seconds, so that all have read the line when it is over


@pytest.mark.slow
@pytest.mark.parametrize(
    "rounds", [pytest.param(200, id="few"), pytest.param(10_000, marks=pytest.mark.soak, id="many")]
)
def test_of_all_workers_and_campaigns_one_gets_the_member_each_round(
    ledger, ledger_url, tmp_path, rounds, measured
):
    people = {member(number, worker) for number in range(rounds) for worker in (0, 1)}
    said = [Statement(who, "email", at, True, NOW - WEEK, "test", "UTC") for who, at in people]
    record(ledger, said, now=NOW - WEEK)
    for number in range(CAMPAIGNS):
        live_plan(ledger, f"c{number}")
    words = [sys.executable, "-m", "tests.campaigns.ledger.racer", ledger_url,
             str(tmp_path / "ledger.key")]  # fmt: skip
    pipe = subprocess.PIPE
    workers = [
        subprocess.Popen(
            [*words, str(at), NOW.isoformat()], stdin=pipe, stdout=pipe, text=True, cwd=ROOT
        )
        for at in range(WORKERS)
    ]
    wins: Counter[int] = Counter()
    reasons: Counter[str] = Counter()
    try:
        for one in workers:
            assert one.stdout.readline() == "ready\n"
        began = time.monotonic()
        for number in range(rounds):
            line = json.dumps([number, time.monotonic() + HEAD_START]) + "\n"
            for one in workers:
                one.stdin.write(line)
                one.stdin.flush()
            told = [json.loads(one.stdout.readline()) for one in workers]
            answers = Counter(answer for some in told for answer in some)
            assert answers.total() == WORKERS * CAMPAIGNS
            assert answers["claimed"] == 1, (number, told)
            reasons += answers
            wins[next(at for at, some in enumerate(told) if "claimed" in some)] += 1
        seconds = time.monotonic() - began
    finally:
        for one in workers:
            one.communicate()
    # A race that one worker always wins is none.
    assert len(wins) == WORKERS, wins
    assert set(reasons) <= {"claimed", "capped", "in_flight"}, reasons
    assert verify(ledger).breaches == ()
    measured(f"{rounds} rounds in {seconds:.0f} s, wins {sorted(wins.values())}, {dict(reasons)}")
