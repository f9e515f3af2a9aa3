"""One of several processes that run the same campaign at the same instant.

Makes its shop, waits for the line on stdin, runs once, and prints what it did.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

from campaigns.calendar.dated import load_dated
from campaigns.calendar.running import run_due
from tests.campaigns.kit import MEMBERS, Clock, TableOffers, composition


def main(folder: Path, url: str, file: Path, number: int) -> None:
    # Each process decides otherwise, so that no two plans are one by their content.
    value = {(member, "c1"): 1.0 + number + at / 10 for at, member in enumerate(MEMBERS)}
    shop = composition(folder, Clock(), TableOffers(["c1", "c2"], value))
    shop = replace(shop, settings=shop.settings.model_copy(update={"ledger_url": url}))
    campaign = load_dated(file)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    ran = run_due(shop, [campaign], by=str(number))
    made = sum(report.made["accepted"] for report in ran.sent)
    sys.stdout.write(json.dumps({"planned": len(ran.planned), "sent": made, "failed": ran.failed}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), int(sys.argv[4]))
