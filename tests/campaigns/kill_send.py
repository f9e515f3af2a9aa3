"""Sends a plan in forked children and kills the k-th child at the k-th step.

A step is one of: a file flushed, a file renamed, a database commit; the kill comes before it, and
in a second round after it. Prints how many kills there were; for every one the folder is left as
it was, for the test to run on.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy.engine.default import DefaultDialect

from campaigns.run import send_plan
from tests.campaigns.kit import Clock, composition


def patch(step: int, after: bool) -> None:
    """From now on, the step-th write of this process is its last."""
    count = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            mine = count
            if mine == step and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            result = real(*args, **named)
            if mine == step and after:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return run

    os.fsync = counted(os.fsync)
    # pathlib renames through it, too.
    os.replace = counted(os.replace)
    DefaultDialect.do_commit = counted(DefaultDialect.do_commit)  # type: ignore[method-assign]


def child(folder: Path, plan_id: str, step: int, after: bool) -> bool:
    """True if the child was killed at the step, False if it came to its end before."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            patch(step, after)
            send_plan(composition(folder, Clock()), plan_id)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return True
    if os.WEXITSTATUS(status):
        raise RuntimeError(f"the child failed at step {step}")
    return False


def main(start: Path, out: Path, plan_id: str) -> None:
    """Copies `start` to out/<when>-<k> for each kill."""
    for after in (False, True):
        step = 1
        while True:
            folder = out / f"{'after' if after else 'before'}-{step}"
            shutil.copytree(start, folder)
            if not child(folder, plan_id, step, after):
                shutil.rmtree(folder)
                break
            step += 1
        sys.stdout.write(f"{step - 1}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
