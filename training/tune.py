"""A bounded search for better settings, on windows before the as-of date alone."""

import logging
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from training import ranker as learning
from training.config import TrainingSettings
from training.shop import Shop
from training.splits import ByDate

if TYPE_CHECKING:
    import optuna


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search has found, for the manifest too."""

    settings: TrainingSettings
    trials: int
    """all of them, an interrupted search's included"""
    recall: float | None
    """recall@10 of the chosen settings on the last window; None where nothing could be measured"""
    before: float | None
    """the same of the settings that the search started from"""


def tune(
    shop: Shop, day: float, settings: TrainingSettings, *, minutes: float, journal: Path
) -> Tuned:
    """Search for so many minutes, a trial that has begun included; the best recall@10 on the last
    window before `day`, learned from the windows before that one, is kept.

    The first trial is of `settings` themselves, so the outcome is never worse on that window. The
    journal keeps every trial: the same search on the same data goes on where it was interrupted.
    """
    import optuna  # noqa: PLC0415 a third of a start-up, and seldom needed
    from optuna.storages import JournalStorage  # noqa: PLC0415
    from optuna.storages.journal import JournalFileBackend  # noqa: PLC0415

    optuna.logging.set_verbosity(logging.WARNING)
    journal.parent.mkdir(parents=True, exist_ok=True)
    study = optuna.create_study(
        study_name=_name(shop, day, settings),
        storage=JournalStorage(JournalFileBackend(str(journal))),
        sampler=optuna.samplers.TPESampler(seed=settings.seed),
        direction="maximize",
        load_if_exists=True,
    )
    if all(trial.params != _defaults(settings) for trial in _complete(study)):
        study.enqueue_trial(_defaults(settings))

    def recall(trial: "optuna.Trial") -> float:
        chosen = _suggested(trial, settings)
        found = learning.learn(ByDate(shop, day, chosen), chosen).recall
        if found is None:
            raise optuna.TrialPruned
        return found

    study.optimize(recall, timeout=60 * minutes)
    done = _complete(study)
    if not done:
        return Tuned(settings, len(study.trials), None, None)
    best = max(done, key=lambda trial: trial.value or 0.0)
    first = next((trial.value for trial in done if trial.params == _defaults(settings)), None)
    return Tuned(settings.model_copy(update=best.params), len(study.trials), best.value, first)


_RANGES: dict[str, tuple[float, float]] = {
    "tree_leaves": (7, 31),
    "trees": (40, 200),
    "tree_rate": (0.03, 0.2),
    "candidates": (60, 200),
    "neighbours": (20, 100),
    "similar": (50, 400),
    "members_near": (50, 300),
    "listed_repeats": (40, 120),
    "listed_new": (40, 120),
}
"""of every setting that is searched; between the ends on a logarithmic scale"""


def _complete(study: "optuna.Study") -> "list[optuna.trial.FrozenTrial]":
    """Trials that ended with a figure; one that was killed stays without."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state.name == "COMPLETE"]


def _suggested(trial: "optuna.Trial", settings: TrainingSettings) -> TrainingSettings:
    chosen: dict[str, Any] = {}
    for name, (low, high) in _widened(settings).items():
        if isinstance(getattr(settings, name), int):
            chosen[name] = trial.suggest_int(name, int(low), int(high), log=True)
        else:
            chosen[name] = trial.suggest_float(name, low, high, log=True)
    return settings.model_copy(update=chosen)


def _widened(settings: TrainingSettings) -> dict[str, tuple[float, float]]:
    """The ranges, each with the present value inside."""
    return {
        name: (min(low, getattr(settings, name)), max(high, getattr(settings, name)))
        for name, (low, high) in _RANGES.items()
    }


def _defaults(settings: TrainingSettings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in _RANGES}


def _name(shop: Shop, day: float, settings: TrainingSettings) -> str:
    """The same data, instant and settings are the same search."""
    said = (
        f"{day} {len(shop.history.products)} {len(shop.product_ids)} {settings.model_dump_json()}"
    )
    return sha256(said.encode()).hexdigest()[:16]
