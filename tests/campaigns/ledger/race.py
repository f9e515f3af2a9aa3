"""One racing process: opens the ledger, waits for the line on stdin, claims once."""

import sys
from datetime import datetime, timedelta
from pathlib import Path

from campaigns.ledger.calls import Claim
from campaigns.ledger.claims import claim
from campaigns.ledger.ledger import open_ledger


def main(words: list[str]) -> None:
    url, key, person, contact, number, instant = words
    now = datetime.fromisoformat(instant)
    one = Claim(f"plan-{number}", number, number, "c1", "email", person, contact, 50)
    with open_ledger(url, Path(key), clock="simulated", now=now) as ledger:
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        sys.stdin.readline()
        (answer,) = claim(ledger, [one], now=now, until=now + timedelta(minutes=1))
    sys.stdout.write(type(answer).__name__)


if __name__ == "__main__":
    main(sys.argv[1:])
