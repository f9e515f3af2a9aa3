"""The figures of the page, as plain data."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys import features, metrics
from recsys.dataset import Dataset
from recsys.ids import unit_interval
from recsys.metrics import Ranking, Scores
from recsys.scoring import REASON_CODES, REASONS, sigmoid
from training.evaluate import Found
from training.ranker import rank

DRAWS = 400
"""bootstrap samples of members"""
SAMPLED = 400
"""members whose pairs are scored again for calibration and for what features earn"""
EXAMPLES = 5
BINS = 10

KINDS = {"repeat": "bought before", "new": "never bought before"}


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over members, and where 95 % of the means of resampled members lie."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Row:
    """One ranking on one task."""

    name: str
    kind: str
    """ours or reference"""
    recall: Interval
    ndcg: Interval


@dataclass(frozen=True, slots=True)
class Shown:
    """What the lists of one ranking show of the catalogue."""

    name: str
    products: int
    coverage: float
    """share of the catalogue on somebody's list"""
    gini: float
    """0: every product of the catalogue is shown as often; 1: one product fills all lists"""
    top_10: float
    """share of all places that the ten most shown products take"""


@dataclass(frozen=True, slots=True)
class Bin:
    """Pairs with about the same predicted chance."""

    predicted: float
    bought: float
    pairs: int


@dataclass(frozen=True, slots=True)
class Earning:
    """What is lost when one kind of evidence is dealt to the wrong pairs."""

    name: str
    all: float
    new: float
    """recall"""


@dataclass(frozen=True, slots=True)
class Example:
    """One member: what it bought last, what it was shown and why, and what it bought then."""

    member: str
    orders: int
    latest: list[str]
    shown: list[tuple[str, str, bool]]
    """title, reason, whether it was bought"""
    bought: int


def rows(found: Found, *, k: int) -> dict[str, list[Row]]:
    """By task, the best first."""
    made: dict[str, list[Row]] = {}
    for name, task in found.tasks.items():
        here = []
        for kind, lists in (("ours", found.rows[name]), ("reference", found.references[name])):
            for row, ranking in lists.items():
                scores = _scores(ranking, found, name, k)
                here.append(Row(row, kind, interval(scores.recall), interval(scores.ndcg)))
        made[name] = (
            sorted(here, key=lambda row: -row.recall.mean) if len(task.truth.members) else []
        )
    return made


def interval(values: NDArray[np.float64]) -> Interval:
    """Percentile bootstrap over members (Efron 1979); the same every time."""
    if not len(values):
        return Interval(0.0, 0.0, 0.0)
    rng = np.random.default_rng(len(values))
    means = [rng.choice(values, len(values)).mean() for _ in range(DRAWS)]
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(values.mean()), float(low), float(high))


def categories(found: Found, dataset: Dataset, *, k: int) -> list[tuple[str, int, float]]:
    """By root category: true pairs, and the share of them that the lists hold."""
    names = _column(found, dataset, "category")
    truth, lists = found.tasks["all"].truth, found.rows["all"]["ranker"]
    size = found.facts.past.n_products
    keys = truth.members.astype(np.int64) * size + truth.products
    hit = np.isin(keys, lists.members * size + lists.products)
    roots = pl.Series([(names[row] or "–").split(" > ")[0] for row in truth.products.tolist()])
    table = pl.DataFrame({"root": roots, "hit": hit}).group_by("root")
    told = table.agg(pl.len(), pl.col("hit").mean()).sort("len", descending=True).head(12)
    return [(root, pairs, share) for root, pairs, share in told.iter_rows()]


def shown(found: Found) -> Iterator[Shown]:
    """Of each ranking's lists of task `all`."""
    catalogue = int(found.facts.past.catalogue.sum())
    for name, lists in (found.rows["all"] | found.references["all"]).items():
        counts = np.sort(np.bincount(lists.products, minlength=1))[::-1].astype(np.float64)
        counts = np.pad(counts[:catalogue], (0, max(0, catalogue - len(counts))))
        total = max(counts.sum(), 1)
        places = np.arange(1, catalogue + 1)
        gini = float(((catalogue + 1 - 2 * places) * counts).sum() / (catalogue * total))
        products = int((counts > 0).sum())
        share = float(counts[:10].sum() / total)
        yield Shown(name, products, products / catalogue, gini, share)


@dataclass(frozen=True, slots=True)
class Sample:
    """All candidate pairs of some tested members."""

    members: NDArray[np.int32]
    products: NDArray[np.int32]
    table: features.Floats
    repeated: NDArray[np.bool_]
    logits: features.Floats
    bought: NDArray[np.bool_]
    chosen: NDArray[np.int32]


def sample(found: Found) -> Sample:
    """The same members every time."""
    tested = np.unique(found.tasks["all"].truth.members).astype(np.int32)
    ids = found.shop.member_ids
    chance = np.array([unit_interval("page", ids[row]) for row in tested])
    chosen = np.sort(tested[np.argsort(chance)[:SAMPLED]])
    pairs, collected, table, logits = rank(found.facts, found.ranker, chosen)
    size, truth = found.facts.past.n_products, found.tasks["all"].truth
    bought = np.isin(
        pairs.members.astype(np.int64) * size + pairs.products,
        truth.members.astype(np.int64) * size + truth.products,
    )
    repeated = collected.count > 0
    return Sample(pairs.members, pairs.products, table, repeated, logits, bought, chosen)


def calibration(drawn: Sample) -> dict[str, list[Bin]]:
    """By kind of pair: predicted chances against what was bought, in bins of as many pairs."""
    made = {}
    for kind, of_kind in (("repeat", drawn.repeated), ("new", ~drawn.repeated)):
        listed = np.flatnonzero(of_kind & (drawn.logits > -np.inf))
        order = listed[np.argsort(drawn.logits[listed], kind="stable")]
        made[KINDS[kind]] = [
            Bin(
                float(sigmoid(drawn.logits[part]).mean()),
                float(drawn.bought[part].mean()),
                len(part),
            )
            for part in np.array_split(order, BINS)
            if len(part)
        ]
    return made


def earnings(found: Found, drawn: Sample, *, k: int) -> list[Earning]:
    """Each reason's features, then each feature: what recall loses when their values are dealt
    anew among the pairs (permutation importance, Breiman 2001)."""
    groups = {f"all of “{code}”": names for code, names in REASONS.items()}
    groups |= {name: (name,) for name in features.NAMES}
    whole = _recalls(found, drawn, drawn.logits, k)
    rng = np.random.default_rng(1)
    made = []
    for name, columns in groups.items():
        at = np.array([features.NAMES.index(column) for column in columns])
        if not drawn.table[:, at].std(axis=0).any():
            continue
        dealt = drawn.table.copy()
        for part in (drawn.repeated, ~drawn.repeated):
            rows_of_part = np.flatnonzero(part)
            dealt[np.ix_(rows_of_part, at)] = drawn.table[np.ix_(rng.permutation(rows_of_part), at)]
        lost = _recalls(found, drawn, found.ranker.logits(dealt, drawn.members, drawn.repeated), k)
        made.append(Earning(name, whole[0] - lost[0], whole[1] - lost[1]))
    return sorted(made, key=lambda one: -one.all)


def _recalls(found: Found, drawn: Sample, logits: features.Floats, k: int) -> tuple[float, float]:
    recalls = []
    for name in ("all", "new"):
        task = found.tasks[name]
        kept = np.where(task.allows(drawn.repeated), logits, np.float32(-np.inf))
        lists = metrics.ranking(drawn.members, drawn.products, kept, k=k)
        inside = np.isin(task.truth.members, drawn.chosen)
        scores = metrics.evaluate(
            lists, task.truth.members[inside], task.truth.products[inside], k=k
        )
        recalls.append(scores.means()["recall"] if inside.any() else 0.0)
    return recalls[0], recalls[1]


def examples(found: Found, dataset: Dataset, drawn: Sample) -> list[Example]:
    """A few members in words."""
    titles = _column(found, dataset, "title")
    ids, past = found.shop.product_ids, found.facts.past

    def title(product: int) -> str:
        return titles[product] or ids[product]

    reasons = found.ranker.blend.reasons(drawn.table, drawn.repeated)
    lists, truth = found.rows["all"]["ranker"], found.tasks["all"].truth
    made = []
    for member in drawn.chosen[:: max(1, len(drawn.chosen) // EXAMPLES)][:EXAMPLES].tolist():
        mine = np.flatnonzero(drawn.members == member)
        place = dict(zip(drawn.products[mine].tolist(), mine.tolist(), strict=True))
        listed = lists.products[lists.members == member].tolist()
        low, high = past.purchases.offsets[member : member + 2]
        latest = past.purchases.products[low:high][::-1][:5].tolist()
        made.append(
            Example(
                found.shop.member_ids[member],
                int(found.facts.member_orders[member]),
                [title(product) for product in latest],
                [
                    (title(p), REASON_CODES[reasons[place[p]]], bool(drawn.bought[place[p]]))
                    for p in listed
                ],
                int((truth.members == member).sum()),
            )
        )
    return made


def _scores(lists: Ranking, found: Found, task: str, k: int) -> Scores:
    truth = found.tasks[task].truth
    return metrics.evaluate(lists, truth.members, truth.products, k=k)


def _column(found: Found, dataset: Dataset, name: str) -> list[str | None]:
    """shape (products,): what the catalogue says now."""
    rows_ = dataset.known("products", None, undated=True).select("product_id", name)
    joined = pl.DataFrame({"product_id": found.shop.product_ids}).join(
        rows_, on="product_id", how="left", maintain_order="left"
    )
    return joined[name].to_list()
