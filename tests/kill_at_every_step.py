"""Kills the k-th forked child at the k-th step of what it does, for every k.

The kill comes before the step, and in a second round after it.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Wrap = Callable[[Callable[..., Any]], Callable[..., Any]]


def at_every_step(
    action: Callable[[Path], object], patch: Callable[[Wrap], None], start: Path, out: Path
) -> None:
    """Copies `start` to out/<when>-<k> for each kill, and leaves it there as the kill left it.

    `patch` wraps whatever is a step. Prints how many kills there were before a step, and after one.
    """
    for after in (False, True):
        step = 1
        while True:
            folder = out / f"{'after' if after else 'before'}-{step}"
            shutil.copytree(start, folder)
            if not _killed(action, patch, folder, step=step, after=after):
                shutil.rmtree(folder)
                break
            step += 1
        sys.stdout.write(f"{step - 1}\n")


def _killed(
    action: Callable[[Path], object], patch: Callable[[Wrap], None], folder: Path, *,
    step: int, after: bool,
) -> bool:  # fmt: skip
    """True if the child was killed at the step, False if it came to its end before."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            patch(_last_at(step, after))
            action(folder)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return True
    if os.WEXITSTATUS(status):
        raise RuntimeError(f"the child failed at step {step}")
    return False


def _last_at(step: int, after: bool) -> Wrap:
    """Counts the calls of all that it wraps; the step-th is the last of this process."""
    count = 0

    def counted(real: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **named: Any) -> Any:
            nonlocal count
            count += 1
            mine = count
            if mine == step and not after:
                os.kill(os.getpid(), signal.SIGKILL)
            try:
                return real(*args, **named)
            finally:
                if mine == step and after:
                    os.kill(os.getpid(), signal.SIGKILL)

        return run

    return counted
