"""Runs that meet, and runs that were killed: one plan an occasion, one push a member."""

import json
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from email import message_from_bytes
from pathlib import Path

import pytest
from sqlalchemy import text

from campaigns.calendar.running import run_due
from campaigns.verify import verify
from tests.campaigns.kit import MEMBERS, NOW, Clock, composition

ROOT = Path(__file__).parents[3]
PROCESSES = 4
RECEIVERS = {f"{member}@example.invalid": 1 for member in MEMBERS[:-1]}


def receivers(folder: Path) -> Counter[str]:
    mails = [message_from_bytes(f.read_bytes()) for f in (folder / "outbox").glob("*.eml")]
    return Counter(str(mail["To"]) for mail in mails)


@pytest.mark.slow
def test_of_four_processes_at_the_same_instant_one_plans_and_all_send(
    shop, weekly, ledger_url, tmp_path
):
    weekly()
    words = [str(tmp_path), ledger_url, str(tmp_path / "friday.yaml")]
    pipe = subprocess.PIPE
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.campaigns.calendar.race", *words, str(number)],
            stdin=pipe, stdout=pipe, text=True, cwd=ROOT,
        )
        for number in range(PROCESSES)
    ]  # fmt: skip
    for process in running:
        assert process.stdout.readline() == "ready\n"
    for process in running:
        process.stdin.write("go\n")
        process.stdin.flush()
    told = [json.loads(process.communicate(timeout=120)[0]) for process in running]
    assert sum(one["planned"] for one in told) == 1, told
    assert sum(one["sent"] for one in told) == len(RECEIVERS), told
    assert all(one["failed"] == [] for one in told), told
    assert receivers(tmp_path) == RECEIVERS
    with shop.open_ledger() as ledger, ledger.reading() as connection:
        states = connection.execute(text("SELECT state FROM plan")).scalars().all()
        planned = connection.execute(text("SELECT COUNT(*) FROM plan_event")).scalar_one()
        assert (states, planned) == (["done"], 1)
    with shop.open_ledger() as ledger:
        assert verify(ledger).breaches == ()


@pytest.mark.soak
def test_a_run_killed_at_any_step_is_finished_by_the_next_one(weekly, tmp_path):
    campaign = weekly("max_sends: 2\n")  # a few messages are steps enough
    start, out = tmp_path / "start", tmp_path / "killed"
    composition(start, Clock())
    command = [sys.executable, "-m", "tests.campaigns.calendar.kill_run", start, out,
               tmp_path / "friday.yaml"]  # fmt: skip
    kills = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, timeout=500)
    # Each message is three writes, and each file of the plan two.
    assert all(int(n) > 10 for n in kills.stdout.split()), kills.stdout
    for number, folder in enumerate(sorted(out.iterdir())):
        # By turns at once, while the killed sender's claims still run, and after their end.
        shop = composition(folder, Clock(NOW + timedelta(minutes=5 * (number % 2))))
        ran = run_due(shop, [campaign], by="ann")
        assert ran.failed == [], folder.name
        assert sorted(receivers(folder).values()) == [1, 1], folder.name
        with shop.open_ledger() as ledger:
            assert verify(ledger).breaches == (), folder.name
            with ledger.reading() as connection:
                states = connection.execute(text("SELECT state FROM plan")).scalars().all()
                events = connection.execute(text("SELECT kind FROM plan_event")).scalars().all()
        assert (states, events) == (["done"], ["planned"]), folder.name
