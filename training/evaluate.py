"""How good the ranking is: train on what was known before a date, test on the horizon after.

Tasks: `all`; `new`, what the member never bought before; `repeat`, what it did.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys import metrics
from recsys.errors import DataError
from recsys.features import Floats
from recsys.metrics import Ranking, Scores
from training import ranker as learning
from training.config import TrainingSettings
from training.evidence import Facts, Pairs, order_numbers
from training.lessons import bought_pairs
from training.ranker import Ranker, rank
from training.references import CHUNK, NAMES, References
from training.shop import Past, Shop
from training.sparse import distinct, locate, rows_of

TASKS = ("all", "new", "repeat")
SLICES = {"1-2": (1, 2), "3-5": (3, 5), "6+": (6, 1 << 31)}
"""members by orders before the date"""

Rows = dict[str, Ranking]
Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The report as JSON, and the ranker's lists as a table (task, member_id, rank, product_id)."""

    report: dict[str, Any]
    lists: pl.DataFrame


@dataclass(frozen=True, slots=True)
class _Task:
    """What one task counts: its true pairs, and which pairs may be recommended."""

    truth: Pairs
    repeated: bool | None
    """None: any pair"""

    def allows(self, repeated: NDArray[np.bool_]) -> NDArray[np.bool_]:
        return np.full(len(repeated), True) if self.repeated is None else repeated == self.repeated


def evaluate(
    shop: Shop,
    as_of: datetime,
    settings: TrainingSettings,
    *,
    k: int = 10,
    references: bool = True,
    progress: Progress = lambda step: None,
) -> Evaluation:
    """Evaluate the recipe in `settings`; its horizon and support are the test's, too."""
    day = as_of.timestamp() / 86_400
    seconds: dict[str, float] = {}
    past = shop.past(day, min_support=settings.min_support)
    truth = bought_pairs(shop, past, settings.horizon_days)
    if not len(truth.members):
        raise DataError(
            f"nobody with a history bought anything of the catalogue in the "
            f"{settings.horizon_days:g} days from {as_of:%Y-%m-%d}. Choose an --as-of inside the "
            "data, or a longer --horizon."
        )
    tasks = _tasks(past, truth)
    members = np.unique(truth.members)
    progress("learning the blend")
    with _timed(seconds, "blend"):
        ranker = learning.learn(shop, day, settings).ranker
    progress("fitting the sources")
    with _timed(seconds, "sources"):
        facts = learning.fit_facts(past, settings)
    progress("ranking")
    with _timed(seconds, "ranking"):
        found = _our_rows(facts, ranker, members, tasks, k)
    reference_rows: dict[str, Rows] = {task: {} for task in TASKS}
    if references:
        progress("computing the references")
        with _timed(seconds, "references"):
            reference_rows = _reference_rows(past, members, tasks, k)
    orders = order_numbers(past.purchases)
    report = {
        "as_of": f"{as_of:%Y-%m-%d}",
        "horizon_days": settings.horizon_days,
        "k": k,
        "tasks": {
            name: _report(task, found[name], reference_rows[name], orders, k)
            for name, task in tasks.items()
        },
        "seconds": {name: round(spent, 2) for name, spent in seconds.items()},
    }
    return Evaluation(report, _lists(shop, {name: rows["ranker"] for name, rows in found.items()}))


def _tasks(past: Past, truth: Pairs) -> dict[str, _Task]:
    _, known = locate(past.repeats.offsets, past.repeats.products, truth.members, truth.products)
    return {
        "all": _Task(truth, None),
        "new": _Task(Pairs(truth.members[~known], truth.products[~known]), False),
        "repeat": _Task(Pairs(truth.members[known], truth.products[known]), True),
    }


def _our_rows(
    facts: Facts, ranker: Ranker, members: NDArray[np.int32],
    tasks: dict[str, _Task], k: int,
) -> dict[str, Rows]:  # fmt: skip
    """The ranker and each source alone, over the same candidates."""
    pieces: dict[str, dict[str, list[Ranking]]] = {task: {} for task in tasks}
    for low in range(0, len(members), 2048):
        pairs, collected, _, logits = rank(facts, ranker, members[low : low + 2048])
        repeated = collected.count > 0
        scored = {
            "popular": collected.popular_30,
            "own": collected.decayed_60,
            "together": collected.together,
            "similar": collected.similar,
            "neighbours": collected.neighbours,
            "taste": collected.taste,
            "ranker": logits,
        }
        for name, task in tasks.items():
            allowed = task.allows(repeated)
            for row, scores in scored.items():
                silent = (scores == 0) & (row != "ranker")
                kept = _masked(scores, allowed & ~silent)
                cut = metrics.ranking(pairs.members, pairs.products, kept, k=k)
                pieces[name].setdefault(row, []).append(cut)
    return {task: {row: _join(cuts) for row, cuts in rows.items()} for task, rows in pieces.items()}


def _reference_rows(
    past: Past, members: NDArray[np.int32], tasks: dict[str, _Task], k: int
) -> dict[str, Rows]:
    fitted = References(past)
    pieces: dict[str, dict[str, list[Ranking]]] = {task: {} for task in tasks}
    for low in range(0, len(members), CHUNK):
        rows = members[low : low + CHUNK]
        at, owners = rows_of(past.repeats.offsets, rows)
        owned = past.repeats.products[at].astype(np.int64)
        bought = owners * past.n_products + owned
        most = 4 * k + int(np.bincount(owners, minlength=1).max())
        for reference in NAMES:
            block = fitted.block(reference, rows)
            # the best of all products hold the best new ones too: nobody owns more than `most`
            places, products = _best_of_block(block, most)
            places = np.concatenate((places, owners))
            products = np.concatenate((products, owned))
            pairs = distinct(places * past.n_products + products)
            places, products = np.divmod(pairs, past.n_products)
            scores, repeated = block[places, products], np.isin(pairs, bought)
            for name, task in tasks.items():
                kept = _masked(scores, task.allows(repeated))
                cut = metrics.ranking(rows[places], products, kept, k=k)
                pieces[name].setdefault(reference, []).append(cut)
    return {task: {row: _join(cuts) for row, cuts in rows.items()} for task, rows in pieces.items()}


def _best_of_block(block: Floats, most: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The row and column of each row's largest cells. A few more than k, so that ties are cut
    alike."""
    most = min(most, block.shape[1])
    columns = np.argpartition(-block, most - 1, axis=1)[:, :most]
    return np.repeat(np.arange(len(block)), most), columns.ravel()


def _masked(scores: Floats, allowed: NDArray[np.bool_]) -> Floats:
    return np.where(allowed, scores, np.float32(-np.inf))


def _join(cuts: list[Ranking]) -> Ranking:
    return Ranking(
        np.concatenate([cut.members for cut in cuts]),
        np.concatenate([cut.products for cut in cuts]),
        np.concatenate([cut.ranks for cut in cuts]),
    )


def _report(
    task: _Task, ours: Rows, references: Rows, orders: NDArray[np.int64], k: int
) -> dict[str, Any]:
    def scores(found: Ranking) -> Scores:
        return metrics.evaluate(found, task.truth.members, task.truth.products, k=k)

    ranker = scores(ours["ranker"])
    before = orders[ranker.members]
    sliced = {name: (before >= low) & (before <= high) for name, (low, high) in SLICES.items()}
    return {
        "members": len(ranker.members),
        "rows": {name: _rounded(scores(found).means()) for name, found in ours.items()},
        "references": {name: _rounded(scores(found).means()) for name, found in references.items()},
        "slices": {
            name: {"members": int(chosen.sum()), **_rounded(ranker.means(chosen))}
            for name, chosen in sliced.items()
            if chosen.any()
        },
    }


def _rounded(means: dict[str, float]) -> dict[str, float | None]:
    return {name: None if np.isnan(mean) else round(mean, 5) for name, mean in means.items()}


def _lists(shop: Shop, found: Rows) -> pl.DataFrame:
    names, products = pl.Series(shop.member_ids), pl.Series(shop.product_ids)
    return pl.concat(
        pl.DataFrame(
            {
                "task": pl.Series([task] * len(rows.members), dtype=pl.String),
                "member_id": names.gather(rows.members),
                "rank": rows.ranks + 1,
                "product_id": products.gather(rows.products),
            }
        )
        for task, rows in found.items()
    )


@contextmanager
def _timed(seconds: dict[str, float], name: str) -> Iterator[None]:
    start = time.perf_counter()
    yield
    seconds[name] = time.perf_counter() - start
