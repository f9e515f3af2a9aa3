"""Changes a folder of models in children that are killed at every step.

A step is one of: an array or manifest written, a file flushed, a file or folder renamed or made.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np

from recsys import artifact
from tests.kill_at_every_step import Wrap, at_every_step
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


def patch(counted: Wrap) -> None:
    # pathlib and shutil go through os, too
    for name in ("fsync", "rename", "replace", "mkdir", "unlink", "rmdir"):
        setattr(os, name, counted(getattr(os, name)))
    np.lib.format.write_array_header_1_0 = counted(np.lib.format.write_array_header_1_0)
    json.dump = counted(json.dump)
    json.dumps = counted(json.dumps)


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
    at_every_step(ACTIONS[sys.argv[1]], patch, Path(sys.argv[2]), Path(sys.argv[3]))
