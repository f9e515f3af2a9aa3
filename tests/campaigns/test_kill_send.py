import subprocess
import sys
from collections import Counter
from datetime import timedelta
from email import message_from_bytes
from pathlib import Path

import pytest

from campaigns.ledger.plans import outcomes
from campaigns.run import plan_campaign, send_plan
from campaigns.verify import verify
from tests.campaigns.kit import MEMBERS, NOW, Clock, composition, definition

ROOT = Path(__file__).parents[2]
HELD_OUT_SHARE = 0.3


@pytest.mark.slow
def test_a_send_killed_at_any_step_is_finished_by_the_next_one(tmp_path):
    start = tmp_path / "start"
    plan, _ = plan_campaign(composition(start, Clock()), definition(holdout=HELD_OUT_SHARE))
    decided = plan.counts()
    assert decided["push"] >= 3
    assert decided["held_out"] >= 1
    assert decided["no_consent"] == 1
    out = tmp_path / "killed"
    command = [sys.executable, "-m", "tests.campaigns.kill_send", start, out, plan.plan_id]
    kills = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, timeout=300)
    # Each message alone is three writes: flush, rename, flush of the folder.
    assert all(int(n) > 3 * decided["push"] for n in kills.stdout.split()), kills.stdout
    for number, folder in enumerate(sorted(out.iterdir())):
        # By turns at once, while the killed sender's claims still run, and after their end.
        later = timedelta(minutes=5 * (number % 2))
        shop = composition(folder, Clock(NOW + later))
        report = send_plan(shop, plan.plan_id)
        assert report.done, folder.name
        assert report.waiting == 0
        with shop.open_ledger() as ledger:
            ended = Counter(outcome for outcome, _ in outcomes(ledger, plan.plan_id).values())
            assert verify(ledger).breaches == (), folder.name
        assert ended == {
            "accepted": decided["push"],
            "held_out": decided["held_out"],
            "skipped": decided["no_consent"],
        }, folder.name
        mails = [message_from_bytes(f.read_bytes()) for f in (folder / "outbox").glob("*.eml")]
        receivers = Counter(mail["To"] for mail in mails)
        pushed = plan.rows.filter(plan.rows["decision"] == "push")["member_id"].to_list()
        assert receivers == {f"{member}@example.invalid": 1 for member in pushed}, folder.name
    assert len(plan.rows) == len(MEMBERS)
