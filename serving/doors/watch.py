"""The keys and signing secrets as the local folder has them now."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from recsys.errors import AccessError
from serving.doors import keys, tokens
from serving.doors.keys import Key
from serving.doors.private_file import Mark, mark
from serving.doors.tokens import Secret

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.25
"""A look is two stats, 3 µs. A change is promised within a second, for every worker."""


@dataclass(frozen=True, slots=True)
class Held:
    """What is valid, by id, and what signs."""

    keys: Mapping[str, Key]
    secrets: Mapping[str, Secret]
    signing: Secret | None
    is_open: bool
    """no key was ever made here"""


class Watch:
    """Reads again when a file was replaced. What cannot be read leaves the last good state."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._marks = self._look()
        self._held = _read(folder, closed=False)
        self._next = float("-inf")

    def held(self, tick: float, *, at_once: bool = False) -> Held:
        """The present state; `tick` in seconds of a clock that only goes forward. `at_once` looks
        even if the last look was just now: a key just made must not be refused."""
        if tick < self._next and not at_once:
            return self._held
        self._next = tick + LOOK_SECONDS
        # looked at before reading: what is replaced in between is seen at the next look
        marks = self._look()
        if marks != self._marks:
            self._marks = marks
            try:
                # a file that vanished is a mishap, and no reason to open the doors
                self._held = _read(self._folder, closed=not self._held.is_open)
            except (AccessError, OSError) as error:
                log.error("keys stay as they were: %s", error)
        return self._held

    def _look(self) -> tuple[Mark, Mark]:
        return mark(self._folder / keys.FILE), mark(self._folder / tokens.FILE)


def _read(folder: Path, *, closed: bool) -> Held:
    made = keys.read(folder)
    secrets = tokens.read(folder)
    return Held(
        keys={key.id: key for key in made if key.revoked is None},
        secrets={secret.id: secret for secret in secrets},
        signing=secrets[-1] if secrets else None,
        is_open=not made and not closed,
    )
