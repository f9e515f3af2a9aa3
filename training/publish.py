"""Which version the shop sees: publish behind a gate, roll back, keep a few."""

import json
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from recsys import artifact
from recsys.errors import GateError, ModelError
from recsys.model import Model
from training.config import TrainingSettings

LOG = "publications.jsonl"
"""Every publishing, the latest last. A model's own manifest never changes."""


@dataclass(frozen=True, slots=True)
class Publication:
    """One line of the log."""

    version: str
    at: str
    forced: bool
    """published although the gate refused"""
    rollback: bool = False


Misfits = Callable[[Model], list[str]]
"""What speaks against a model where it will be used; empty if nothing does."""


def publish(
    models: Path,
    version: str,
    settings: TrainingSettings,
    *,
    now: datetime,
    force: bool = False,
    misfits: Misfits = lambda _: [],
) -> Publication:
    """Verify every checksum and the gate, then replace CURRENT.

    Raises GateError for a sound model that is not good enough or does not fit; `force` publishes it
    all the same. A corrupt or foreign model is never published.
    """
    model = Model.from_artifact(artifact.open_model(models, version, verify=True))
    refusals = gate(models, version, settings) + misfits(model)
    if refusals and not force:
        raise GateError(
            f"model {version} is not published: {'; '.join(refusals)}. "
            "Look at its data and settings, or publish it with --force."
        )
    return _point(models, Publication(version, _stamp(now), bool(refusals)))


def _point(models: Path, done: Publication) -> Publication:
    artifact.point_current(models, done.version)
    log = models / LOG
    cut = log.is_file() and not log.read_bytes().endswith(b"\n")  # a kill may do that
    with log.open("a", encoding="utf-8") as file:
        file.write("\n" * cut + json.dumps(asdict(done)) + "\n")
    return done


def _stamp(now: datetime) -> str:
    return now.isoformat(timespec="seconds")


def gate(models: Path, version: str, settings: TrainingSettings) -> list[str]:
    """Why a version should not be published; empty if it may."""
    manifest = artifact.read_manifest(models, version)
    refusals = []
    if manifest["coverage"] < settings.gate_coverage:
        refusals.append(
            f"its lists show {manifest['coverage']:.1%} of the catalogue, "
            f"less than {settings.gate_coverage:.1%}"
        )
    current = artifact.current(models)
    if current is None or current == version:
        return refusals
    try:
        refusals += _smaller(manifest, artifact.read_manifest(models, current), settings)
    except ModelError:
        return refusals  # a broken CURRENT is no bar: this is how it is mended
    measured = manifest["gate"]
    if measured["current"] is not None and measured["recall"] is not None:
        least = settings.gate_ratio * measured["current"]
        if measured["recall"] < least:
            refusals.append(
                f"its recall on the last horizon is {measured['recall']:.4f}, and the published "
                f"recipe has {measured['current']:.4f} on the same data"
            )
    return refusals


def _smaller(
    manifest: dict[str, Any], published: dict[str, Any], settings: TrainingSettings
) -> list[str]:
    return [
        f"it has {manifest[what]:,} {what}, the published one {published[what]:,}"
        for what in ("members", "products")
        if manifest[what] < settings.gate_size * published[what]
    ]


def publications(models: Path) -> list[Publication]:
    """The log, the latest last."""
    try:
        lines = (models / LOG).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return []
    # a kill may have cut the last line; CURRENT is what counts
    whole = [line for line in lines if line.endswith("}")]
    return [Publication(**json.loads(line)) for line in whole]


def rollback(models: Path, *, now: datetime) -> Publication:
    """Publish the version that was published before the current one, if it is still kept; once
    more, and it is the one before that."""
    kept = artifact.versions(models)
    for version in reversed(_trail(models)):
        if version in kept:
            Model.from_artifact(artifact.open_model(models, version, verify=True))
            return _point(models, Publication(version, _stamp(now), False, rollback=True))
    raise ModelError(f"there is no earlier published model in {models}. Run: guesslike models list")


def _trail(models: Path) -> list[str]:
    """What was current before CURRENT, the oldest first, without what was rolled back."""
    trail: list[str] = []
    for one in publications(models):
        if one.rollback and one.version in trail:
            while trail[-1] != one.version:
                trail.pop()
        elif trail[-1:] != [one.version]:
            trail.append(one.version)
    current = artifact.current(models)
    while trail[-1:] == [current]:
        trail.pop()
    return trail


def prune(
    models: Path, *, keep: int, before: datetime | None = None, spared: Collection[str] = ()
) -> list[str]:
    """Delete all but the latest `keep` versions and the spared ones, and any written before an
    instant; never the published one."""
    current = artifact.current(models)
    versions = artifact.versions(models)
    doomed = set(versions[:-keep]).difference(spared)
    if before is not None:
        doomed |= {one for one in versions if artifact.written(models, one) < before}
    gone = [version for version in versions if version in doomed and version != current]
    for version in gone:
        artifact.delete(models, version)
    return gone
