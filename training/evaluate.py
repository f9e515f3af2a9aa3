"""How good the ranking is: train on what is left of the log, test on what a split holds out.

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
from recsys.metrics import Ranking, Scores
from training import ranker as learning
from training.config import TrainingSettings
from training.evidence import Facts, Pairs, order_numbers
from training.newcomers import with_newcomers
from training.ranker import Ranker, rank
from training.references import CHUNK, References
from training.run import as_of_day, date
from training.shop import Past, Shop
from training.sparse import distinct, locate, rows_of
from training.splits import ByDate, ByLastOrder, Split, SplitName

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
        return np.ones_like(repeated) if self.repeated is None else repeated == self.repeated


def evaluate(
    shop: Shop,
    as_of: datetime | None,
    settings: TrainingSettings,
    *,
    split: SplitName = SplitName.DATE,
    newcomers: float = 0.0,
    k: int = 10,
    references: bool = True,
    progress: Progress = lambda step: None,
) -> Evaluation:
    """Evaluate the recipe in `settings`; its support, and by date its horizon, are the test's too.

    `as_of` None is the end of the data, where only a last basket can be tested. With `newcomers`,
    a share of the members, these lose their past but for the latest one or two orders, and the
    test is of them alone.
    """
    day = as_of_day(shop, as_of)
    seconds: dict[str, float] = {}
    cut = _cut(shop, day, settings, split)
    chosen = np.ones(len(shop.member_ids), np.bool_)
    if newcomers:
        shop, chosen = with_newcomers(shop, newcomers, cut.instants())
        cut = _cut(shop, day, settings, split)
    test = cut.window(0)
    past, tested = test.past, chosen[test.truth.members]
    truth = Pairs(test.truth.members[tested], test.truth.products[tested])
    if not len(truth.members):
        raise DataError(_nothing_to_test(day, settings, split, newcomers))
    tasks = _tasks(past, truth)
    members = np.unique(truth.members)
    progress("learning the blend")
    with _timed(seconds, "blend"):
        ranker = learning.learn(cut, settings).ranker
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
            reference_rows = _reference_rows(References(past, split), past, members, tasks, k)
    orders = order_numbers(past.purchases)
    report = {
        "as_of": date(day),
        "split": str(split),
        "horizon_days": settings.horizon_days if split is SplitName.DATE else None,
        "newcomers": newcomers,
        "k": k,
        "tasks": {
            name: _report(task, found[name], reference_rows[name], orders, k)
            for name, task in tasks.items()
        },
        "seconds": {name: round(spent, 2) for name, spent in seconds.items()},
    }
    return Evaluation(report, _lists(shop, {name: rows["ranker"] for name, rows in found.items()}))


def _cut(shop: Shop, day: float, settings: TrainingSettings, split: SplitName) -> Split:
    kind = ByDate if split is SplitName.DATE else ByLastOrder
    return kind(shop, day, settings)


def _nothing_to_test(
    day: float, settings: TrainingSettings, split: SplitName, newcomers: float
) -> str:
    who = f"of {newcomers:g} of the members nobody" if newcomers else "nobody"
    wider = ", or more --newcomers" if newcomers else ""
    if split is SplitName.DATE:
        return (
            f"{who} with a history bought anything of the catalogue in the "
            f"{settings.horizon_days:g} days from {date(day)}. Choose an --as-of inside the "
            f"data, or a longer --horizon{wider}."
        )
    return (
        f"{who} has two orders before {date(day)}, the last with a product of the catalogue. "
        f"Choose a later --as-of, or a lower --min-support{wider}."
    )


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
            "segment": facts.sources.segment.scores(pairs.members, pairs.products),
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
    fitted: References, past: Past, members: NDArray[np.int32],
    tasks: dict[str, _Task], k: int,
) -> dict[str, Rows]:  # fmt: skip
    pieces: dict[str, dict[str, list[Ranking]]] = {task: {} for task in tasks}
    products = np.flatnonzero(past.catalogue)
    place = np.full(past.n_products, -1)
    place[products] = np.arange(len(products))
    for low in range(0, len(members), CHUNK):
        rows = members[low : low + CHUNK]
        at, owners = rows_of(past.repeats.offsets, rows)
        owned = place[past.repeats.products[at]]
        owners, owned = owners[owned >= 0], owned[owned >= 0]
        bought = owners * len(products) + owned
        most = 4 * k + int(np.bincount(owners, minlength=1).max())
        for reference in fitted.names:
            block = fitted.block(reference, rows)
            # the best of all products hold the best new ones too: nobody owns more than `most`
            above, columns = _best_of_block(block, most)
            pairs = distinct(np.concatenate((above * len(products) + columns, bought)))
            above, columns = np.divmod(pairs, len(products))
            scores, repeated = block[above, columns], np.isin(pairs, bought)
            for name, task in tasks.items():
                kept = _masked(scores, task.allows(repeated))
                cut = metrics.ranking(rows[above], products[columns], kept, k=k)
                pieces[name].setdefault(reference, []).append(cut)
    return {task: {row: _join(cuts) for row, cuts in rows.items()} for task, rows in pieces.items()}


def _best_of_block(
    block: NDArray[np.floating], most: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The row and column of each row's largest cells. A few more than k, so that ties are cut
    alike."""
    most = min(most, block.shape[1])
    columns = np.argpartition(-block, most - 1, axis=1)[:, :most]
    return np.repeat(np.arange(len(block)), most), columns.ravel()


def _masked(scores: NDArray[np.floating], allowed: NDArray[np.bool_]) -> NDArray[np.floating]:
    return np.where(allowed, scores, scores.dtype.type(-np.inf))


def _join(cuts: list[Ranking]) -> Ranking:
    return Ranking(
        np.concatenate([cut.members for cut in cuts]),
        np.concatenate([cut.products for cut in cuts]),
        np.concatenate([cut.ranks for cut in cuts]),
    )


def _report(
    task: _Task, ours: Rows, references: Rows, orders: NDArray[np.int64], k: int
) -> dict[str, Any]:
    def scores(rows: Rows) -> dict[str, Scores]:
        truth = task.truth
        return {
            name: metrics.evaluate(found, truth.members, truth.products, k=k)
            for name, found in rows.items()
        }

    def means(
        rows: dict[str, Scores], only: NDArray[np.bool_] | None = None
    ) -> dict[str, dict[str, float | None]]:
        return {name: _rounded(found.means(only)) for name, found in rows.items()}

    rows, compared = scores(ours), scores(references)
    ranker = rows["ranker"]
    before = orders[ranker.members]
    sliced = {name: (before >= low) & (before <= high) for name, (low, high) in SLICES.items()}
    return {
        "members": len(ranker.members),
        "rows": means(rows),
        "references": means(compared),
        "slices": {
            name: {
                "members": int(chosen.sum()),
                **_rounded(ranker.means(chosen)),
                "rows": means(rows, chosen),
                "references": means(compared, chosen),
            }
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
