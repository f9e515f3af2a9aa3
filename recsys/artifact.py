"""The model format: a folder with manifest.json, memory-mapped .npy arrays, and other files.

Written to a temporary folder, flushed, renamed; never changed afterwards. CURRENT names the
published version and is replaced last. Nothing is pickled.
"""

import fcntl
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from recsys.errors import ModelError

FORMAT = 2
MANIFEST = "manifest.json"
CURRENT = "CURRENT"
Array = NDArray[np.generic]


@dataclass(frozen=True, slots=True)
class Artifact:
    """An opened model folder."""

    version: str
    manifest: Mapping[str, Any]
    arrays: Mapping[str, Array]
    """by name; read-only memory maps"""
    others: Mapping[str, Path]
    """by name; files that something else opens"""


def write(
    models: Path,
    manifest: Mapping[str, Any],
    arrays: Mapping[str, Array],
    others: Mapping[str, bytes] = MappingProxyType({}),
) -> str:
    """Write a model and return its version, `<as-of date>-<hash of its content>`.

    `others` are files by their whole name. A crash leaves no folder that a reader would take for a
    model.
    """
    models.mkdir(parents=True, exist_ok=True)
    with _only_writer(models):
        return _write(models, manifest, arrays, others)


def _write(
    models: Path,
    manifest: Mapping[str, Any],
    arrays: Mapping[str, Array],
    others: Mapping[str, bytes],
) -> str:
    for left_over in (*models.glob(".writing-*"), *models.glob(".deleted-*")):
        shutil.rmtree(left_over)
    temporary = models / f".writing-{os.getpid()}"
    temporary.mkdir()
    try:
        files = {}
        for name, array in sorted(arrays.items()):
            path = temporary / f"{name}.npy"
            with path.open("wb") as file:
                _save(file, array)
                _flush(file.fileno())
            files[path.name] = _facts(path)
        for name, content in sorted(others.items()):
            path = temporary / name
            with path.open("wb") as file:
                file.write(content)
                _flush(file.fileno())
            files[name] = _facts(path)
        # weights and coupons stand in the manifest; which files they were learned from does not
        # make another model
        facts = {key: fact for key, fact in manifest.items() if key != "dataset"}
        named = json.dumps([files, facts], sort_keys=True)
        digest = hashlib.sha256(named.encode()).hexdigest()
        version = f"{manifest['as_of']}-{digest[:12]}"
        body = {"format": FORMAT, "version": version, **manifest, "files": files}
        with (temporary / MANIFEST).open("w") as file:
            json.dump(body, file, indent=1)
            file.flush()
            _flush(file.fileno())
        _flush_folder(temporary)
        target = models / version
        if not target.exists():  # the same content is the same model
            temporary.rename(target)
            _flush_folder(models)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return version


def _facts(path: Path) -> dict[str, int | str]:
    return {"bytes": path.stat().st_size, "sha256": _sha256(path)}


def _save(file: BinaryIO, array: Array) -> None:
    """What np.save does, whose own writing of a full disk says no errno."""
    whole = np.ascontiguousarray(array)
    header = np.lib.format.header_data_from_array_1_0(whole)
    np.lib.format.write_array_header_1_0(file, header)
    file.write(whole.data)


@contextmanager
def _only_writer(models: Path) -> Iterator[None]:
    """Hold the folder's lock; the kernel frees it when the process dies."""
    with (models / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def open_model(models: Path, version: str, *, verify: bool = False) -> Artifact:
    """Map a model's arrays. `verify` reads every byte and compares its SHA-256."""
    folder = models / version
    manifest = read_manifest(models, version)
    arrays, others = {}, {}
    for name, facts in _files(manifest, version).items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != facts["bytes"]:
            raise ModelError(f"model {version}: {name} is missing or cut short. {_MEND}")
        if verify and _sha256(path) != facts["sha256"]:
            raise ModelError(f"model {version}: {name} is not what was written. {_MEND}")
        if path.suffix != ".npy":
            others[name] = path
            continue
        try:
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        except ValueError as error:
            raise ModelError(f"model {version}: {name} is no .npy array. {_MEND}") from error
        # the plain view of the same map: np.memmap costs a microsecond at every slice
        arrays[path.stem] = mapped.view(np.ndarray)
    return Artifact(version, manifest, arrays, others)


def _files(manifest: Mapping[str, Any], version: str) -> dict[str, dict[str, Any]]:
    files = manifest.get("files")
    if not isinstance(files, dict) or any(
        not isinstance(facts, dict) or facts.keys() < {"bytes", "sha256"}
        for facts in files.values()
    ):
        raise ModelError(f"model {version}: {MANIFEST} does not list its files. {_MEND}")
    return files


_MEND = "Train again, or publish another version (guesslike models list)."


def read_manifest(models: Path, version: str) -> dict[str, Any]:
    """A model's manifest; ModelError where it is absent, broken or of a foreign format."""
    path = models / version / MANIFEST
    if not re.fullmatch(r"[0-9A-Za-z-]{1,80}", version) or not path.is_file():
        raise ModelError(f"there is no model {version!r} in {models}. Run: guesslike models list")
    try:
        manifest = json.loads(path.read_text())
    except ValueError as error:
        raise ModelError(f"{path} is not JSON. {_MEND}") from error
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise ModelError(
            f"model {version} has format {found}, this program reads {FORMAT}. "
            "Train it again with this program."
        )
    return dict(manifest)


def is_there(models: Path, version: str) -> bool:
    """Whether a whole model has this name; it may be damaged all the same."""
    return (models / version / MANIFEST).is_file()


def versions(models: Path) -> list[str]:
    """Every whole model, the oldest first."""
    found = [path.parent for path in models.glob(f"*/{MANIFEST}") if path.parent.name[0] != "."]
    return [path.name for path in sorted(found, key=lambda path: (path.stat().st_mtime, path.name))]


def written(models: Path, version: str) -> datetime:
    """When a version was written."""
    return datetime.fromtimestamp((models / version / MANIFEST).stat().st_mtime, UTC)


def current(models: Path) -> str | None:
    """The published version, or None before the first publishing."""
    try:
        return (models / CURRENT).read_text().strip() or None
    except FileNotFoundError:
        return None


def point_current(models: Path, version: str) -> None:
    """Publish: replace CURRENT in one step. The model must be whole; see `open_model`."""
    temporary = models / f".{CURRENT}"
    with _only_writer(models):
        with temporary.open("w") as file:
            file.write(f"{version}\n")
            file.flush()
            _flush(file.fileno())
        temporary.replace(models / CURRENT)
        _flush_folder(models)


def delete(models: Path, version: str) -> None:
    """Remove a version; in one step no reader takes it for a model any more."""
    doomed = models / f".deleted-{version}"
    with _only_writer(models):
        (models / version).rename(doomed)
        shutil.rmtree(doomed)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(descriptor: int) -> None:
    os.fsync(descriptor)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _flush(descriptor)
    finally:
        os.close(descriptor)
