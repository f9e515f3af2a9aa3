"""One sender: says when it is ready, starts at a word, tells what it did.

python -m benchmarks.sending.sender URL FOLDER PLAN BEGUN
"""

import json
import sys
from datetime import timedelta
from pathlib import Path
from time import monotonic

import numpy as np

from benchmarks.sending.shop import NOW, Null, open_scratch, render
from campaigns.channels.contract import Answer
from campaigns.message import Message
from campaigns.plan import read_plan
from campaigns.send import send
from campaigns.settings import CampaignSettings


class Watched(Null):
    """Remembers the first call."""

    first: float | None = None

    def deliver(self, message: Message, /, **_: object) -> Answer:
        """Nothing is done."""
        if self.first is None:
            self.first = monotonic()
        return super().deliver(message, now=NOW)


def main(url: str, folder: Path, plan_id: str, begun: float) -> None:
    """See above."""
    began = monotonic()
    channel = Watched()
    with open_scratch(url, folder) as ledger:
        plan = read_plan(plan_id, folder)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        start = monotonic()
        report = send(
            plan,
            ledger,
            channel,
            render=render,
            settings=CampaignSettings.model_validate({"canary": {"share": 1}}),
            now=lambda: NOW + timedelta(seconds=monotonic() - begun),
            rng=np.random.default_rng(),
        )
        told = {
            "made": dict(report.made),
            "seconds": monotonic() - start,
            "first_call": None if channel.first is None else channel.first - began,
        }
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]))
