"""Runs a campaign that is due in children that are killed at every step.

A step is one of: a file flushed, a file renamed, a database commit.
"""

import sys
from pathlib import Path

from campaigns.calendar.dated import load_dated
from campaigns.calendar.running import run_due
from tests.campaigns.kill_send import patch
from tests.campaigns.kit import Clock, composition
from tests.kill_at_every_step import at_every_step


def main(start: Path, out: Path, file: Path) -> None:
    campaign = load_dated(file)
    at_every_step(
        lambda folder: run_due(composition(folder, Clock()), [campaign], by="ann"),
        patch,
        start,
        out,
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
