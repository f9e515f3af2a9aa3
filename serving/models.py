"""The published model in memory, and its replacement without a failed request."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
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
    ) -> None:
        """`accept` makes a ranker ready; ModelError says that its model cannot be served here.
        `seen` is told what became of a newly published one."""
        self._models = models
        self._accept = accept
        self._seen = seen
        self.ranker = _verified(models, open_current(models).version)
        self._refused: str | None = None

    async def follow(self, every_seconds: float) -> None:
        """Take up each newly published model; a broken one is refused and the old one stays."""
        while True:
            await asyncio.sleep(every_seconds)
            await self.refresh()

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
