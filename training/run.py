"""One training run: learn the blend, fit the sources, fold base lists, write a version."""

from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from threadpoolctl import threadpool_limits

from recsys import artifact, features, search
from recsys.artifact import Array
from recsys.dataset import Dataset
from recsys.errors import DataError, ModelError
from recsys.features import Floats
from recsys.ids import IdIndex
from recsys.model import BaseLists, Neighbours, blend_to_json, to_arrays
from recsys.scoring import Blend, ClockCurve
from training import evidence, launches, shelf
from training import ranker as learning
from training.blend import session_share
from training.config import TrainingSettings
from training.evidence import Facts
from training.parallel import in_order, spans
from training.pushing import pushing
from training.ranker import CHUNK, Ranker, rank
from training.shop import Past, Shop, load
from training.sources import together
from training.sources.together import Counts
from training.splits import ByDate
from training.tune import tune

Progress = Callable[[str], None]


def train(
    dataset: Dataset,
    models: Path,
    settings: TrainingSettings,
    *,
    as_of: datetime | None = None,
    tune_minutes: float = 0.0,
    progress: Progress = lambda step: None,
) -> str:
    """Train on what was known before `as_of` (midnight UTC) and return the new version; with
    `tune_minutes`, search for better settings first."""
    # the order of a sum, and so its last bit, hangs on the number of BLAS threads
    with threadpool_limits(1, "blas"):
        return _train(
            dataset, models, settings, as_of=as_of, tune_minutes=tune_minutes, progress=progress
        )


def _train(
    dataset: Dataset,
    models: Path,
    settings: TrainingSettings,
    *,
    as_of: datetime | None,
    tune_minutes: float,
    progress: Progress,
) -> str:
    progress("reading the dataset")
    shop = load(dataset, before=as_of)
    day = as_of_day(shop, as_of)
    tuned = None
    if tune_minutes:
        progress("searching for better settings")
        journal = models / "tuning.journal"
        tuned = tune(shop, day, settings, minutes=tune_minutes, journal=journal)
        settings = tuned.settings
    progress("learning the blend from past horizons")
    learned = learning.learn(ByDate(shop, day, settings), settings)
    blend = learned.ranker.blend
    current = _recall_of_current(shop, day, models, settings, learned.recall)
    progress("fitting the sources")
    past = shop.past(day, min_support=settings.min_support)
    if not past.catalogue.any():
        raise DataError(
            f"{dataset.path}: before {date(day)} no product stands in {settings.min_support} "
            "orders. Set GUESSLIKE_TRAINING__MIN_SUPPORT lower, or --as-of later."
        )
    facts = learning.fit_facts(past, settings)
    orders = together.counts(past, facts.sources.together.similarity)
    progress("ranking for every member")
    shown = shelf.shelf(dataset, shop, as_of)
    arrays = {
        **to_arrays("members", IdIndex.build(shop.member_ids)),
        **to_arrays("products", IdIndex.build(shop.product_ids)),
        **to_arrays("tiers", shelf.tiers(dataset, shop, as_of)),
        **to_arrays("base", base_lists(facts, learned.ranker, settings)),
        **_company(facts, orders),
        **_unknown_member(facts, blend),
        **shown.arrays,
        "order_amount": _order_amounts(past),
        "visit": learned.visit.chance(evidence.member_columns(facts)).astype(np.float16),
    }
    new = launches.unranked(past, settings)
    arrays["fresh"] = launches.matched(facts, blend, new)
    arrays["fresh_anybody"] = launches.for_anybody(facts, blend, new)
    best_first = np.argsort(-arrays["product_static"].astype(np.float32), kind="stable")
    arrays["search_order"] = best_first.astype(np.int32)
    described = [shown.described[row] for row in best_first]
    pushes = pushing(dataset, shop, day, settings, before=as_of, progress=progress)
    arrays |= pushes.arrays
    progress("writing the model")
    manifest = {
        "as_of": date(day),
        "code": installed_version("guesslike"),
        "window": _window(past),
        "feed": {str(shard): last for shard, last in dataset.feed_sequences().items()},
        "dataset": [list(part) for part in dataset.parts()],
        "config": settings.model_dump(mode="json"),
        "tuned": tuned and {"trials": tuned.trials, "recall": tuned.recall, "before": tuned.before},
        "members": len(shop.member_ids),
        "products": int(past.catalogue.sum()),
        "orders": orders.all,
        "coverage": _coverage(arrays, past),
        "gate": {"recall": learned.recall, "current": current},
        "blend": blend_to_json(blend),
        "coupons": shelf.coupons(dataset),
        "redemption": pushes.redemption,
        "effect": pushes.effect,
        "attributes": shown.attributes,
    }
    return artifact.write(
        models, manifest, arrays, {search.FILE: search.index(described), **pushes.files}
    )


def _recall_of_current(
    shop: Shop, day: float, models: Path, settings: TrainingSettings, recall: float | None
) -> float | None:
    """The published recipe on the same data: measured anew where it differs from this one."""
    version = artifact.current(models)
    if version is None:
        return None
    try:
        recipe = recipe_of(models, version)
    except ModelError:
        return None  # a broken CURRENT, or another program's: to train again is its mend
    if recipe == settings:
        return recall
    return learning.learn(ByDate(shop, day, recipe), recipe).recall


def recipe_of(models: Path, version: str) -> TrainingSettings:
    """The settings that a version was trained with."""
    config = artifact.read_manifest(models, version).get("config")
    try:
        return TrainingSettings(**(config or {"config": "missing"}))
    except ValidationError as error:
        names = ", ".join(str(one["loc"][0]) for one in error.errors())
        raise ModelError(
            f"{version} was trained with settings that this program does not know: {names}. "
            "Compare with a version that this program has trained."
        ) from error


def as_of_day(shop: Shop, as_of: datetime | None) -> float:
    """The as-of date in days since 1970; by default the midnight after the last event."""
    if as_of is not None:
        return as_of.timestamp() / 86_400
    days = [history.days.max() for history in (shop.history, shop.anonymous) if len(history.days)]
    return float(np.floor(max(days)) + 1)


def base_lists(facts: Facts, ranker: Ranker, settings: TrainingSettings) -> BaseLists:
    """The full pass over members, in chunks."""

    def chunk(span: slice) -> dict[str, Array]:
        members = np.arange(span.start, span.stop, dtype=np.int32)
        return _base_chunk(facts, ranker, members, settings)

    chunks = in_order(chunk, spans(facts.past.n_members, CHUNK))
    counts = np.concatenate([chunk.pop("counts") for chunk in chunks])
    parts = {name: np.concatenate([chunk[name] for chunk in chunks]) for name in chunks[0]}
    return BaseLists(np.concatenate(([0], np.cumsum(counts))), **parts)


def _base_chunk(
    facts: Facts, ranker: Ranker, members: NDArray[np.int32], settings: TrainingSettings
) -> dict[str, Array]:
    pairs, collected, table, logits = rank(facts, ranker, members)
    listed = np.flatnonzero(logits > -np.inf)
    order = listed[np.lexsort((-logits[listed], pairs.members[listed]))]
    sizes = np.bincount(pairs.members[listed] - members[0], minlength=len(members))
    place = np.arange(len(order)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    kept = order[place < settings.base_size]
    repeated = collected.count[kept] > 0
    last, interval = collected.last_day[kept], collected.interval[kept]
    clock = ClockCurve.of(ranker.blend).logits(facts.past.day, last, interval)
    session = session_share(ranker.blend, table[kept], repeated)
    # serving adds both again, as they are at its own now
    static = logits[kept] - np.where(repeated, clock, 0) - session
    return {
        "counts": np.minimum(sizes, settings.base_size),
        "products": pairs.products[kept],
        "static": static.astype(np.float16),
        "reasons": ranker.blend.reasons(table[kept], repeated),
        "last_day": np.where(repeated, last, 0).astype(np.uint16),
        "interval": interval.astype(np.float16),
    }


def _company(facts: Facts, counts: Counts) -> dict[str, Array]:
    """What is bought together, and in how many orders."""
    near = facts.sources.together.similarity
    owners = np.repeat(np.arange(near.shape[0]), np.diff(near.indptr))
    order = np.lexsort((-near.data, owners))
    neighbours = Neighbours(
        near.indptr.astype(np.int64),
        near.indices[order].astype(np.int32),
        near.data[order].astype(np.float16),
        counts.of_pair[order],
    )
    return {**to_arrays("near", neighbours), "orders": counts.of_product}


def _unknown_member(facts: Facts, blend: Blend) -> dict[str, Array]:
    """Static logits without a member, what each member adds, and the list for a stranger."""
    past = facts.past
    nobody = evidence.of_nobody(facts)
    table = features.static(nobody)
    scores = blend.static_logits(table, np.zeros(len(table), np.bool_))
    once = evidence.of_one_order(facts)
    ordered = blend.static_logits(features.static(once), np.ones(len(table), np.bool_))
    shelf_order = np.argsort(np.where(past.catalogue, -scores, np.inf), kind="stable")
    columns = [features.STATIC.index(name) for name in features.MEMBER]
    added = evidence.member_columns(facts) - table[:1, columns]
    return {
        "product_static": scores.astype(np.float16),
        "once": np.stack((ordered, once.interval), dtype=np.float16, casting="same_kind"),
        "member_static": (added @ blend.new.part(features.MEMBER)).astype(np.float16),
        "popular": shelf_order[: int(past.catalogue.sum())].astype(np.int32),
    }


def _order_amounts(past: Past) -> Floats:
    bought = past.purchases
    paid = np.bincount(bought.members, bought.amounts, past.n_members)
    orders = evidence.order_numbers(bought)
    usual = paid.sum() / max(orders.sum(), 1)
    amounts: Floats = ((paid + usual) / (orders + 1)).astype(np.float32)
    return amounts


def _window(past: Past) -> list[str]:
    days = past.history.days
    return [date(days.min()), date(days.max())] if len(days) else []


def _coverage(arrays: dict[str, Array], past: Past) -> float:
    """Share of the catalogue that stands in some base list."""
    return round(len(np.unique(arrays["base_products"])) / int(past.catalogue.sum()), 4)


def date(day: float) -> str:
    """A day since 1970 as 2017-12-01."""
    return datetime.fromtimestamp(float(day) * 86_400, UTC).strftime("%Y-%m-%d")


def describe(manifest: dict[str, Any]) -> str:
    """One line about a model."""
    return (
        f"{manifest['members']:,} members, {manifest['products']:,} products, "
        f"events {' to '.join(manifest['window'])}, "
        f"{manifest['coverage']:.0%} of the catalogue on somebody's list"
    )
