"""Changes a folder of models in forked children and kills the k-th child at the k-th step.

A step is one of: an array or manifest written, a file flushed, a file or folder renamed or made;
the kill comes before it, and in a second round after it. Prints how many kills there were; for
every one the folder is left as it was, for the test to look at.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from recsys import artifact
from tests.small_shop import END
from training.config import TrainingSettings
from training.publish import prune, publish

SMALL_MANIFEST = {"as_of": "2025-05-01", "feed": {"0": 7}}
OLD = {"one": np.arange(5), "two": np.zeros((2, 3), np.float32)}
NEW = {"one": np.arange(9), "two": np.ones((2, 3), np.float32)}


def write_new(models: Path) -> None:
    artifact.point_current(models, artifact.write(models, SMALL_MANIFEST, NEW))


def publish_latest(models: Path) -> None:
    publish(models, artifact.versions(models)[-1], TrainingSettings(), now=END)


def prune_to_one(models: Path) -> None:
    prune(models, keep=1)


ACTIONS = {"write": write_new, "publish": publish_latest, "prune": prune_to_one}


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
            try:
                return real(*args, **named)
            finally:
                if mine == step and after:
                    os.kill(os.getpid(), signal.SIGKILL)

        return run

    # pathlib and shutil go through os, too
    for name in ("fsync", "rename", "replace", "mkdir", "unlink", "rmdir"):
        setattr(os, name, counted(getattr(os, name)))
    np.lib.format.write_array_header_1_0 = counted(np.lib.format.write_array_header_1_0)
    json.dump = counted(json.dump)
    json.dumps = counted(json.dumps)


def child(action: Callable[[Path], None], models: Path, step: int, after: bool) -> bool:
    """True if the child was killed at the step, False if it came to its end before."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            patch(step, after)
            action(models)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(pid, 0)
    if os.WIFSIGNALED(status):
        return True
    if os.WEXITSTATUS(status):
        raise RuntimeError(f"the child failed at step {step}")
    return False


def main(action: str, start: Path, out: Path) -> None:
    """Copies `start` to out/<when>-<k> for each kill."""
    for after in (False, True):
        step = 1
        while True:
            folder = out / f"{'after' if after else 'before'}-{step}"
            shutil.copytree(start, folder)
            if not child(ACTIONS[action], folder, step, after):
                shutil.rmtree(folder)
                break
            step += 1
        sys.stdout.write(f"{step - 1}\n")


def kills(action: str, start: Path, out: Path) -> list[Path]:
    """The folder as each kill left it."""
    out.mkdir()
    script = [sys.executable, "-m", "tests.recsys.kill_models", action, str(start), str(out)]
    root = Path(__file__).parents[2]
    done = subprocess.run(script, cwd=root, capture_output=True, text=True, check=True)
    folders = sorted(out.iterdir())
    before, after = map(int, done.stdout.split())
    assert before == after > 3
    assert len(folders) == before + after
    shutil.rmtree(start)
    return folders


def version_of(models: Path) -> str:
    version = artifact.current(models)
    assert version is not None
    return version


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
