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
from threadpoolctl import threadpool_limits

from recsys import metrics
from recsys.errors import DataError
from recsys.metrics import Scores
from training import ranker as learning
from training.config import TrainingSettings
from training.evidence import Facts, Pairs, order_numbers
from training.launches import lately_sold
from training.newcomers import with_newcomers
from training.ranker import Ranker
from training.rankings import Rows, Task, our_rows, reference_rows
from training.references import References
from training.run import as_of_day, date
from training.shop import Past, Shop
from training.sparse import locate
from training.splits import ByDate, ByLastOrder, Split, SplitName

TASKS = ("all", "new", "repeat")
SLICES = {"1-2": (1, 2), "3-5": (3, 5), "6+": (6, 1 << 31)}
"""members by orders before the date"""

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The report as JSON, the ranker's lists as a table (task, member_id, rank, product_id), and
    what both were made of."""

    report: dict[str, Any]
    lists: pl.DataFrame
    found: "Found"


@dataclass(frozen=True, slots=True)
class Found:
    """A tested ranker with all lists."""

    shop: Shop
    facts: Facts
    ranker: Ranker
    tasks: dict[str, Task]
    rows: dict[str, Rows]
    """by task: the ranker's, each source's and, if asked for, another recipe's"""
    references: dict[str, Rows]


def evaluate(
    shop: Shop,
    as_of: datetime | None,
    settings: TrainingSettings,
    *,
    split: SplitName = SplitName.DATE,
    newcomers: float = 0.0,
    k: int = 10,
    references: bool = True,
    against: tuple[str, TrainingSettings] | None = None,
    progress: Progress = lambda step: None,
) -> Evaluation:
    """Evaluate the recipe in `settings`; its support, and by date its horizon, are the test's too.

    `as_of` None is the end of the data, where only a last basket can be tested. With `newcomers`,
    a share of the members, these lose their past but for the latest one or two orders, and the
    test is of them alone. `against` adds a row: another recipe, by a name, learned from the same.
    """
    with threadpool_limits(1, "blas"):  # as `train` does
        return _evaluate(
            shop, as_of, settings,
            split=split, newcomers=newcomers, k=k, references=references, against=against,
            progress=progress,
        )  # fmt: skip


def _evaluate(
    shop: Shop, as_of: datetime | None, settings: TrainingSettings, *,
    split: SplitName, newcomers: float, k: int, references: bool,
    against: tuple[str, TrainingSettings] | None, progress: Progress,
) -> Evaluation:  # fmt: skip
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
        found = our_rows(facts, ranker, members, tasks, k)
    if against is not None:
        name, recipe = against
        progress(f"learning the recipe of {name}")
        with _timed(seconds, "against"):
            other = learning.learn(_cut(shop, day, recipe, split), recipe).ranker
            theirs = our_rows(learning.fit_facts(past, recipe), other, members, tasks, k)
        for task, rows in found.items():
            rows[name] = theirs[task]["ranker"]
    compared: dict[str, Rows] = {task: {} for task in TASKS}
    if references:
        progress("computing the references")
        with _timed(seconds, "references"):
            compared = reference_rows(References(past, split), past, members, tasks, k)
    orders = order_numbers(past.purchases)
    launched = lately_sold(past, settings)
    report = {
        "as_of": date(day),
        "split": str(split),
        "horizon_days": settings.horizon_days if split is SplitName.DATE else None,
        "newcomers": newcomers,
        "k": k,
        "tasks": {
            name: _report(task, found[name], compared[name], orders=orders, launched=launched, k=k)
            for name, task in tasks.items()
        },
        "seconds": {name: round(spent, 2) for name, spent in seconds.items()},
    }
    return Evaluation(
        report,
        _lists(shop, {name: rows["ranker"] for name, rows in found.items()}),
        Found(shop, facts, ranker, tasks, found, compared),
    )


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


def _tasks(past: Past, truth: Pairs) -> dict[str, Task]:
    _, known = locate(past.repeats.offsets, past.repeats.products, truth.members, truth.products)
    return {
        "all": Task(truth, None),
        "new": Task(Pairs(truth.members[~known], truth.products[~known]), False),
        "repeat": Task(Pairs(truth.members[known], truth.products[known]), True),
    }


def _report(
    task: Task, ours: Rows, references: Rows, *,
    orders: NDArray[np.int64], launched: NDArray[np.bool_], k: int,
) -> dict[str, Any]:  # fmt: skip
    def scores(rows: Rows, truth: Pairs = task.truth) -> dict[str, Scores]:
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
    of_new = launched[task.truth.products]
    truth = Pairs(task.truth.members[of_new], task.truth.products[of_new])
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
        "launched": {
            "products": int(launched.sum()),
            "members": len(np.unique(truth.members)),
            "rows": means(scores(ours, truth)),
            "references": means(scores(references, truth)),
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
