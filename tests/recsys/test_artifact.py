import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as of_numpy

from recsys import artifact
from recsys.errors import ModelError
from tests.recsys.kill_models import NEW, OLD, SMALL_MANIFEST, kills, version_of

NAMES = st.sampled_from(["one", "two", "three"])
DTYPES = st.sampled_from([np.float16, np.float32, np.int64, np.uint8, np.bool_])
ARRAYS = st.dictionaries(
    NAMES, DTYPES.flatmap(lambda dtype: of_numpy.arrays(dtype, of_numpy.array_shapes(min_side=0)))
)


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder with one published model."""
    artifact.point_current(tmp_path, artifact.write(tmp_path, SMALL_MANIFEST, OLD))
    return tmp_path


def change_manifest(models: Path, **changes: Any) -> None:
    path = models / version_of(models) / artifact.MANIFEST
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@given(ARRAYS)
def test_arrays_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, arrays: dict[str, np.ndarray]
) -> None:
    models = tmp_path_factory.mktemp("models")
    opened = artifact.open_model(
        models, artifact.write(models, SMALL_MANIFEST, arrays), verify=True
    )
    assert opened.arrays.keys() == arrays.keys()
    for name, array in arrays.items():
        assert opened.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(opened.arrays[name], array)


def test_the_same_content_is_the_same_version_and_other_content_another(models: Path) -> None:
    first = version_of(models)
    assert artifact.write(models, SMALL_MANIFEST, dict(reversed(OLD.items()))) == first
    assert artifact.versions(models) == [first]
    assert artifact.write(models, SMALL_MANIFEST, NEW) != first
    assert artifact.write(models, SMALL_MANIFEST | {"feed": {"0": 8}}, OLD) != first
    assert artifact.write(models, SMALL_MANIFEST | {"coupons": ["c2"]}, OLD) != first
    assert artifact.write(models, SMALL_MANIFEST | {"dataset": ["a.parquet"]}, OLD) == first
    assert artifact.write(models, SMALL_MANIFEST, OLD, {"more.bin": b"more"}) != first
    assert len(artifact.versions(models)) == 5
    assert first.startswith("2025-05-01-")


def test_before_the_first_publishing_nothing_is_current(tmp_path: Path) -> None:
    assert artifact.current(tmp_path) is None
    assert artifact.versions(tmp_path) == []


def test_other_files_come_back_as_they_were_and_a_flipped_byte_is_refused(models: Path) -> None:
    version = artifact.write(models, SMALL_MANIFEST, OLD, {"more.bin": b"more"})
    opened = artifact.open_model(models, version, verify=True)
    assert opened.others["more.bin"].read_bytes() == b"more"
    assert opened.arrays.keys() == OLD.keys()
    opened.others["more.bin"].write_bytes(b"mare")
    with pytest.raises(ModelError, match=r"more\.bin is not what was written"):
        artifact.open_model(models, version, verify=True)


@pytest.mark.parametrize("at", [5, -3])
@pytest.mark.parametrize("name", ["one.npy", "two.npy"])
def test_a_flipped_byte_anywhere_is_refused(models: Path, name: str, at: int) -> None:
    path = models / version_of(models) / name
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelError, match=rf"{name} is not what was written.*Train again"):
        artifact.open_model(models, version_of(models), verify=True)


def test_a_broken_header_is_refused_without_reading_every_byte(models: Path) -> None:
    path = models / version_of(models) / "one.npy"
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(ModelError, match=r"one\.npy is no \.npy array"):
        artifact.open_model(models, version_of(models))


@pytest.mark.parametrize("left", [0, 60, -1])
def test_a_file_cut_short_is_refused_at_open(models: Path, left: int) -> None:
    path = models / version_of(models) / "two.npy"
    path.write_bytes(path.read_bytes()[:left])
    with pytest.raises(ModelError, match=r"two\.npy is missing or cut short"):
        artifact.open_model(models, version_of(models))


@pytest.mark.parametrize("found", [0, artifact.FORMAT + 1, "1", None])
def test_a_foreign_format_is_refused(models: Path, found: object) -> None:
    change_manifest(models, format=found)
    with pytest.raises(ModelError, match=f"format {found}, this program reads {artifact.FORMAT}"):
        artifact.open_model(models, version_of(models))


@pytest.mark.parametrize("text", ["", "{", "\x00", '{"format": 1', "[1]", "7"])
def test_a_manifest_that_is_no_json_object_is_refused(models: Path, text: str) -> None:
    (models / version_of(models) / artifact.MANIFEST).write_text(text)
    with pytest.raises(ModelError, match=r"not JSON|format None"):
        artifact.open_model(models, version_of(models))


@pytest.mark.parametrize("files", [None, [], {"one.npy": 3}, {"one.npy": {"bytes": 3}}])
def test_a_manifest_that_does_not_list_its_files_is_refused(models: Path, files: object) -> None:
    change_manifest(models, files=files)
    with pytest.raises(ModelError, match="does not list its files"):
        artifact.open_model(models, version_of(models))


@pytest.mark.parametrize("version", ["", ".", "..", "../models", "a/b", "/tmp", "x\n", "nothing"])
def test_what_is_no_version_is_refused(models: Path, version: str) -> None:
    with pytest.raises(ModelError, match="models list"):
        artifact.open_model(models, version)


def test_a_version_with_a_path_in_it_is_refused_even_if_a_model_lies_there(models: Path) -> None:
    inner = models / "inner"
    inner.mkdir()
    with pytest.raises(ModelError, match="there is no model"):
        artifact.open_model(inner, f"../{version_of(models)}")


def test_a_deleted_version_is_gone(models: Path) -> None:
    gone = artifact.write(models, SMALL_MANIFEST, NEW)
    artifact.delete(models, gone)
    assert artifact.versions(models) == [version_of(models)]
    assert sorted(path.name for path in models.iterdir()) == sorted(
        [".lock", "CURRENT", version_of(models)]
    )


def test_a_kill_at_any_step_leaves_the_old_or_the_new_model(models: Path, tmp_path: Path) -> None:
    old = version_of(models)
    start = tmp_path / "start"
    start.mkdir()
    for name in (old, artifact.CURRENT):
        (models / name).rename(start / name)
    killed = kills("write", start, tmp_path / "killed")
    seen = set()
    for folder in killed:
        current = version_of(folder)
        seen.add(current)
        for version in artifact.versions(folder):
            arrays = artifact.open_model(folder, version, verify=True).arrays
            for name, array in (OLD if version == old else NEW).items():
                np.testing.assert_array_equal(arrays[name], array)
        assert current in artifact.versions(folder)
        new = artifact.write(folder, SMALL_MANIFEST, NEW)
        artifact.point_current(folder, new)
        names = {path.name for path in folder.iterdir()}
        assert names == {".lock", artifact.CURRENT, old, new}, f"left over after {folder.name}"
    assert len(seen) == 2, "the kills saw CURRENT on both sides of its change"


def test_a_kill_while_pruning_leaves_whole_models(models: Path, tmp_path: Path) -> None:
    start = tmp_path / "start"
    start.mkdir()
    old = version_of(models)
    (models / old).rename(start / old)
    artifact.point_current(start, artifact.write(start, SMALL_MANIFEST, NEW))
    counts = set()
    for folder in kills("prune", start, tmp_path / "killed"):
        counts.add(len(artifact.versions(folder)))
        for version in artifact.versions(folder):
            artifact.open_model(folder, version, verify=True)
        again = artifact.write(folder, SMALL_MANIFEST, OLD)
        artifact.open_model(folder, again, verify=True)
        assert not list(folder.glob(".deleted-*"))
    assert counts == {1, 2}
