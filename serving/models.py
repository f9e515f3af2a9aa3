"""The published model in memory, and its replacement without a failed request."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from pathlib import Path

from recsys import artifact
from recsys.errors import FeedError, ModelError
from recsys.model import Model
from serving.metrics import Update
from serving.ranker import Ranker

log = logging.getLogger(__name__)


def open_current(models: Path) -> Model:
    """The model that CURRENT names."""
    version = artifact.current(models)
    if version is None:
        raise ModelError(
            f"no model is published in {models}. "
            "Run: guesslike train DATASET, then: guesslike models publish VERSION"
        )
    return Model.from_artifact(artifact.open_model(models, version))


def _verified(models: Path, version: str) -> Ranker:
    """Every byte is compared: a request must not be the one that finds a flipped one."""
    return Ranker(Model.from_artifact(artifact.open_model(models, version, verify=True)))


class Published:
    """What requests answer from. A request takes `ranker` once and keeps it to its end."""

    def __init__(
        self,
        models: Path,
        *,
        accept: Callable[[Ranker], Awaitable[None]] | None = None,
        seen: Callable[[Update], None] = lambda _: None,
        beside: Collection[str] = (),
    ) -> None:
        """`accept` makes a ranker ready; ModelError says that its model cannot be served here.
        `seen` is told what became of a newly published one. `beside`: versions that experiments
        need as well."""
        self._models = models
        self._accept = accept
        self._seen = seen
        self.ranker = _verified(models, open_current(models).version)
        self._refused: str | None = None
        self._wanted = beside
        self.beside: dict[str, Ranker] = {}
        """by version, those of the wanted ones that can be served"""
        self._unfit: set[str] = set()
        self._lacking: dict[str, str] = {}
        """why, as it was logged"""

    @property
    def rankers(self) -> list[Ranker]:
        """All that answer."""
        return [self.ranker, *self.beside.values()]

    async def follow(self, every_seconds: float) -> None:
        """Take up each newly published model; a broken one is refused and the old one stays."""
        while True:
            await asyncio.sleep(every_seconds)
            await self.refresh()
            await self.look_beside()

    async def look_beside(self) -> None:
        """Open the wanted versions that are there, and let go of those that are gone: so every
        worker says the same of an experiment."""
        for version in self._wanted:
            if not artifact.is_there(self._models, version):
                self.beside.pop(version, None)
                self._unfit.discard(version)
                self._lacks(version, f"there is no model {version} in {self._models}")
            elif version not in self.beside and version not in self._unfit:
                await self._open_beside(version)

    async def _open_beside(self, version: str) -> None:
        try:
            ranker = await asyncio.to_thread(_verified, self._models, version)
            if self._accept is not None:
                await self._accept(ranker)
        except ModelError as error:
            self._unfit.add(version)
            self._lacks(version, str(error))
        except (OSError, FeedError) as error:  # look again
            self._lacks(version, str(error))
        else:
            self.beside[version] = ranker
            self._lacking.pop(version, None)
            log.info("model %s serves an experiment", version, extra={"model_version": version})

    def _lacks(self, version: str, why: str) -> None:
        if self._lacking.get(version) != why:
            log.error("an experiment stops, all get the published model: %s", why)
        self._lacking[version] = why

    async def refresh(self) -> None:
        """Look at CURRENT once."""
        version: str | None = None
        try:
            version = artifact.current(self._models)
            if version is None or version in (self._refused, self.ranker.model.version):
                return
            ranker = await asyncio.to_thread(_verified, self._models, version)
            if self._accept is not None:
                await self._accept(ranker)
            self.ranker = ranker
        except ModelError as error:
            self._refused = version
            self._seen("refused")
            stays = self.ranker.model.version
            about = {"model_version": version}
            log.error("model %s refused, %s stays: %s", version, stays, error, extra=about)
            return
        # deleted meanwhile, no descriptor left, or the feed is away: look again
        except (OSError, FeedError) as error:
            self._seen("unreadable")
            log.warning("model %s cannot be read now: %s", version or artifact.CURRENT, error)
            return
        self._seen("taken_up")
        log.info("model %s taken up", version, extra={"model_version": version})
