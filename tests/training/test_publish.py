import json
import os
import shutil
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys import artifact
from recsys.artifact import Artifact
from recsys.errors import GateError, ModelError
from tests.recsys.kill_models import kills, version_of
from tests.small_shop import END
from training.config import TrainingSettings
from training.publish import gate, prune, publications, publish, rollback

SETTINGS = TrainingSettings()


@pytest.fixture(scope="module")
def sound(small_model: Path) -> Artifact:
    models = small_model / "models"
    return artifact.open_model(models, version_of(models))


@pytest.fixture
def models(small_model: Path, tmp_path: Path) -> Path:
    """A folder of one's own with the small shop's published model."""
    return Path(shutil.copytree(small_model / "models", tmp_path / "models"))


def variant(models: Path, sound: Artifact, number: int = 1, **changes: Any) -> str:
    """A sound model of the same shop with another manifest."""
    manifest = {k: v for k, v in sound.manifest.items() if k not in ("files", "version", "format")}
    arrays = dict(sound.arrays)
    arrays["prices"] = np.asarray(arrays["prices"]) + np.float32(number)
    return artifact.write(models, manifest | changes, arrays)


def test_a_sound_model_is_published_and_logged(models: Path, sound: Artifact) -> None:
    version = variant(models, sound)
    now = END + timedelta(hours=3)
    done = publish(models, version, SETTINGS, now=now)
    assert artifact.current(models) == version
    assert asdict(done) == {
        "version": version, "at": "2025-05-01T03:00:00+00:00", "forced": False,
        "rollback": False,
    }  # fmt: skip
    assert publications(models)[-1] == done


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"gate": {"recall": 0.5, "current": 0.6}}, r"recall on the last horizon is 0\.5000.*0\.6"),
        ({"coverage": 0.001}, r"show 0\.1% of the catalogue, less than 1\.0%"),
        ({"members": 90}, "it has 90 members, the published one 200"),
        ({"products": 3}, "it has 3 products, the published one 59"),
    ],
)
def test_a_worse_model_is_refused_unless_forced_and_the_log_says_so(
    models: Path, sound: Artifact, changes: dict[str, Any], why: str
) -> None:
    before = artifact.current(models)
    version = variant(models, sound, **changes)
    with pytest.raises(GateError, match=rf"{version} is not published: .*{why}.*--force"):
        publish(models, version, SETTINGS, now=END)
    assert artifact.current(models) == before
    assert publish(models, version, SETTINGS, now=END, force=True).forced
    assert artifact.current(models) == version
    assert publications(models)[-1].forced


@pytest.mark.parametrize(
    "changes",
    [
        {"gate": {"recall": 0.571, "current": 0.6}},
        {"gate": {"recall": None, "current": 0.6}},
        {"gate": {"recall": 0.1, "current": None}},
        {"members": 100},
        {"coverage": 0.01},
    ],
)
def test_the_gate_lets_through_what_is_as_good_within_its_bounds(
    models: Path, sound: Artifact, changes: dict[str, Any]
) -> None:
    assert gate(models, variant(models, sound, **changes), SETTINGS) == []


def test_every_refusal_is_told_at_once(models: Path, sound: Artifact) -> None:
    version = variant(models, sound, coverage=0.0, members=1, products=1)
    assert len(gate(models, version, SETTINGS)) == 3


def test_force_opens_the_gate_and_not_the_door_for_a_corrupt_model(
    models: Path, sound: Artifact
) -> None:
    before = artifact.current(models)
    version = variant(models, sound)
    path = models / version / "base_static.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"base_static\.npy is not what was written"):
        publish(models, version, SETTINGS, now=END, force=True)
    assert artifact.current(models) == before
    assert publications(models)[-1].version == before


def test_a_model_that_lacks_an_array_is_never_published(models: Path, sound: Artifact) -> None:
    manifest = {k: v for k, v in sound.manifest.items() if k not in ("files", "version", "format")}
    arrays = {name: array for name, array in sound.arrays.items() if name != "popular"}
    version = artifact.write(models, manifest, arrays)
    with pytest.raises(ModelError, match="lacks 'popular'"):
        publish(models, version, SETTINGS, now=END, force=True)


def test_rollback_goes_to_the_version_published_before(models: Path, sound: Artifact) -> None:
    first = version_of(models)
    second, third = (variant(models, sound, number) for number in (1, 2))
    publish(models, second, SETTINGS, now=END)
    publish(models, third, SETTINGS, now=END)
    assert rollback(models, now=END).version == second
    assert artifact.current(models) == second
    assert first in artifact.versions(models)


def test_two_rollbacks_go_two_versions_back(models: Path, sound: Artifact) -> None:
    first = version_of(models)
    for number in (1, 2):
        publish(models, variant(models, sound, number), SETTINGS, now=END)
    rollback(models, now=END)
    assert rollback(models, now=END).version == first


def test_rollback_passes_over_what_was_deleted(models: Path, sound: Artifact) -> None:
    first = version_of(models)
    second, third = (variant(models, sound, number) for number in (1, 2))
    publish(models, second, SETTINGS, now=END)
    publish(models, third, SETTINGS, now=END)
    artifact.delete(models, second)
    assert rollback(models, now=END).version == first


def test_rollback_without_an_earlier_version_says_so(models: Path) -> None:
    with pytest.raises(ModelError, match="no earlier published model"):
        rollback(models, now=END)


def test_pruning_keeps_the_latest_and_the_published_one(models: Path, sound: Artifact) -> None:
    first = version_of(models)
    others = [variant(models, sound, number) for number in range(1, 4)]
    assert prune(models, keep=2, spared=others[:1]) == []
    assert prune(models, keep=2) == [others[0]]
    assert set(artifact.versions(models)) == {first, *others[1:]}
    assert prune(models, keep=5) == []


def test_pruning_takes_what_is_too_old_but_for_the_published_one(
    models: Path, sound: Artifact
) -> None:
    first = version_of(models)
    others = [variant(models, sound, number) for number in range(1, 3)]
    for version in (first, others[0]):
        os.utime(models / version / artifact.MANIFEST, (END.timestamp(), END.timestamp()))
    assert prune(models, keep=5, before=END) == []
    later = END + timedelta(seconds=1)
    assert prune(models, keep=5, before=later, spared=others) == [others[0]]
    assert set(artifact.versions(models)) == {first, others[1]}


def test_a_kill_at_any_step_of_publishing_leaves_the_old_or_the_new_current(
    models: Path, sound: Artifact, tmp_path: Path
) -> None:
    old = version_of(models)
    new = variant(models, sound)
    seen = set()
    for folder in kills("publish", models, tmp_path / "killed"):
        current = version_of(folder)
        seen.add(current)
        assert artifact.versions(folder) == [old, new]
        artifact.open_model(folder, current, verify=True)
        assert [line.version for line in publications(folder)] in ([old], [old, new])
        publish(folder, new, SETTINGS, now=END)
        assert publications(folder)[-1].version == new
        assert rollback(folder, now=END).version == old
    assert seen == {old, new}


def test_a_line_cut_by_a_kill_does_not_stop_a_rollback(models: Path, sound: Artifact) -> None:
    first = version_of(models)
    second = variant(models, sound)
    publish(models, second, SETTINGS, now=END)
    log = models / "publications.jsonl"
    log.write_text(log.read_text() + json.dumps({"version": "x"})[:9])
    publish(models, second, SETTINGS, now=END)
    assert publications(models)[-1].version == second
    assert rollback(models, now=END).version == first


def test_a_broken_current_does_not_stop_its_mend(models: Path, sound: Artifact) -> None:
    version = variant(models, sound)
    (models / version_of(models) / artifact.MANIFEST).write_text("{")
    publish(models, version, SETTINGS, now=END)
    assert artifact.current(models) == version
