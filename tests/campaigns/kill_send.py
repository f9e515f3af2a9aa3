"""Sends a plan in children that are killed at every step.

A step is one of: a file flushed, a file renamed, a database commit.
"""

import os
import sys
from pathlib import Path

from sqlalchemy.engine.default import DefaultDialect

from campaigns.run import send_plan
from tests.campaigns.kit import Clock, composition
from tests.kill_at_every_step import Wrap, at_every_step


def patch(counted: Wrap) -> None:
    os.fsync = counted(os.fsync)
    # pathlib renames through it, too.
    os.replace = counted(os.replace)
    DefaultDialect.do_commit = counted(DefaultDialect.do_commit)  # type: ignore[method-assign]


def main(start: Path, out: Path, plan_id: str) -> None:
    at_every_step(
        lambda folder: send_plan(composition(folder, Clock()), plan_id), patch, start, out
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
