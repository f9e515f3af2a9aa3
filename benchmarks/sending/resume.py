"""A plan of a million rows whose sender is killed half-way: how soon does the next one go on?

    python -m benchmarks.sending.resume [--members 1000000]

On SQLite. Prints the seconds from the start of the second process to its first call, and whether
both together called each member once. Exits with 1 where the bar is missed.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic, sleep

from sqlalchemy import text

from benchmarks.sending.shop import fill, make_plan, open_scratch
from campaigns.ledger.ledger import Ledger

ASKED = 5.0
"""seconds"""


def sender(url: str, folder: Path, plan_id: str, begun: float) -> subprocess.Popen[str]:
    """One that starts at once."""
    words = [url, str(folder), plan_id, str(begun)]
    pipe = subprocess.PIPE
    made = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.sending.sender", *words],
        stdin=pipe, stdout=pipe, text=True,
    )  # fmt: skip
    assert made.stdin is not None
    made.stdin.write("go\n")
    made.stdin.flush()
    return made


def count(ledger: Ledger, what: str) -> int:
    """Rows."""
    with ledger.reading() as connection:
        return int(connection.execute(text(f"SELECT COUNT(*) FROM {what}")).scalar_one())


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--members", type=int, default=1_000_000)
    members = parser.parse_args().members
    Path("var").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir="var") as name:
        folder = Path(name)
        url = f"sqlite:///{folder}/ledger.db"
        with open_scratch(url, folder) as ledger:
            plan = make_plan(members, ledger.identity)
            fill(ledger, plan, folder)
            begun = monotonic()
            first = sender(url, folder, plan.plan_id, begun)
            while count(ledger, "outcome") < members // 2:
                sleep(1)
            first.kill()
            first.wait()
            done = count(ledger, "outcome WHERE outcome = 'accepted'")
            open_ones = count(ledger, "send WHERE state = 'attempting'")
            second = sender(url, folder, plan.plan_id, begun)
            told = json.loads(second.communicate()[0].splitlines()[-1])
            accepted = count(ledger, "outcome WHERE outcome = 'accepted'")
        made = told["made"].get("accepted", 0)
    exact = made == members - done - open_ones and accepted == done + made
    print(
        f"{members:,} rows, killed after {done:,} with {open_ones} calls open:"
        f" the next sender's first call after {told['first_call']:.2f} s (asked {ASKED:g});"
        f" it made {made:,} calls, exactly the remainder: {exact}"
    )
    sys.exit(not (exact and told["first_call"] <= ASKED))


if __name__ == "__main__":
    main()
