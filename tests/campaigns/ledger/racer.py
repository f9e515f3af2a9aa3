"""One of several long-lived workers that race for one member, round after round.

Each line on stdin is a round: its number, and the instant of the machine's monotonic clock at
which all start. Answers with what each of its claims got.
"""

import json
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from campaigns.ledger.calls import Claim, Claimed
from campaigns.ledger.claims import claim
from campaigns.ledger.ledger import open_ledger

CAMPAIGNS = 3


def member(number: int, worker: int) -> tuple[str, str]:
    """Member and address of a round; in each third one, two members who share an address."""
    twin = number % 3 == 2 and worker % 2
    return f"m{number}{'b' if twin else ''}", f"m{number}@example.invalid"


def main(url: str, key: Path, worker: int, instant: datetime) -> None:
    until = instant + timedelta(minutes=1)
    with open_ledger(url, key, clock="simulated", now=instant) as ledger:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        for line in sys.stdin:
            number, start = json.loads(line)
            who, address = member(number, worker)
            person, contact = ledger.identity.person(who), ledger.identity.contact("email", address)
            wanted = [
                Claim(f"plan-{c}", f"{c}@{instant:%Y-%m-%d}", c, "c1", "email", person, contact, 50)
                for c in (f"c{(worker + turn) % CAMPAIGNS}" for turn in range(CAMPAIGNS))
            ]
            # By turns in one transaction and in one for each.
            parts = [wanted] if number % 2 else [[one] for one in wanted]
            time.sleep(max(0.0, start - time.monotonic() - 0.0005))
            while time.monotonic() < start:
                pass
            got = [one for part in parts for one in claim(ledger, part, now=instant, until=until)]
            told = ["claimed" if isinstance(one, Claimed) else one.reason for one in got]
            sys.stdout.write(json.dumps(told) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), datetime.fromisoformat(sys.argv[4]))
