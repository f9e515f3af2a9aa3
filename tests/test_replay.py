"""One log, replayed through training and through serving, is scored alike.

Training sees the log as a dataset up to an instant; serving sees a model of an earlier date, the
clock, and what happened since as events of the feed.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recsys import artifact, features
from recsys.dataset import Dataset
from recsys.features import Evidence
from recsys.model import Model
from serving.asking import Request
from serving.feed.contract import RecentEvent
from serving.kernel import NEIGHBOURS_OF_SEED
from serving.placements import BUILT_IN
from serving.ranker import Ranker
from serving.recommend import recommend
from tests.small_shop import END, MEMBERS, PRODUCTS, SOLD_OUT, write_small_shop
from training.config import TrainingSettings
from training.evidence import (
    Facts,
    Pairs,
    candidate_pairs,
    collect,
    latest_events,
    latest_interests,
    of_nobody,
    session_leaf,
    session_similarity,
)
from training.ranker import fit_facts
from training.run import train
from training.shop import Past, load

SETTINGS = TrainingSettings(windows=2, iterations=3, factors=8, neighbours=NEIGHBOURS_OF_SEED)
QUIET = END - timedelta(days=12)
"""nothing happens from here to the as-of date, so that sessions hold what the feed brings"""
MEMBER = 42
CLOSE = 0.02
"""a float16 near 8 is good to 0.004, and a score is a sum of two"""
Feed = Sequence[tuple[str, str, timedelta]]
"""kind, product and time since the as-of date"""


@dataclass(frozen=True)
class Replay:
    """Both sides of one log."""

    folder: Path
    facts: Facts
    ranker: Ranker

    @property
    def model(self) -> Model:
        return self.ranker.model

    def pairs(self, members: list[int]) -> Pairs:
        return candidate_pairs(self.facts, np.array(members, np.int32))

    def trained(self, pairs: Pairs, told: Evidence, now: datetime) -> dict[tuple[int, str], float]:
        """What training's functions say of what can be bought."""
        table = features.features(told, now.timestamp() / 86_400)
        logits = self.model.blend.logits(table, told.count > 0)
        return {
            (int(member), PRODUCTS[product]): float(logit)
            for member, product, logit in zip(pairs.members, pairs.products, logits, strict=True)
            if PRODUCTS[product] != SOLD_OUT
        }

    def served(self, member: int, now: datetime, feed: Feed = ()) -> dict[str, float]:
        """What serving answers, the whole catalogue long."""
        recent = [
            RecentEvent(kind, micros(END + after), product, None, None, None, None, None)
            for kind, product, after in feed
        ]
        request = Request(
            member_id=MEMBERS[member], placement=BUILT_IN["home"], seeds=(), excluded=(), limit=100,
            now=micros(now), rest_hours=0,
        )  # fmt: skip
        items = recommend(self.ranker, request, recent)
        return {item.product_id: item.score for item in items}

    def session(self, pairs: Pairs, now: datetime, feed: Feed) -> dict[str, np.ndarray]:
        """The session as training sees it where the feed's events are rows of the dataset: two
        columns of the evidence."""
        events = pl.read_parquet(self.folder / "dataset" / "events.parquet")
        rows = pl.DataFrame(
            [
                {"event_id": f"feed-{at}", "kind": kind, "product_id": product,
                 "member_id": MEMBERS[MEMBER], "occurred_at": END + after}
                for at, (kind, product, after) in enumerate(feed)
            ]
        ).cast({"occurred_at": events.schema["occurred_at"]})  # fmt: skip
        past = self.past_with(rows, now)
        later = replace(self.facts, sessions=latest_events(past), interests=latest_interests(past))
        return {
            "session": session_similarity(later, pairs),
            "session_leaf": session_leaf(later, pairs),
        }

    def past_with(self, rows: pl.DataFrame, now: datetime) -> Past:
        """What is known where more events are rows of the dataset."""
        events = pl.read_parquet(self.folder / "dataset" / "events.parquet")
        folder = self.folder / "later"
        folder.mkdir(exist_ok=True)
        pl.concat([events, rows], how="diagonal").write_parquet(folder / "events.parquet")
        for name in ("members", "products"):
            table = pl.read_parquet(self.folder / "dataset" / f"{name}.parquet")
            table.write_parquet(folder / f"{name}.parquet")
        return load(Dataset(folder)).past(now.timestamp() / 86_400, min_support=5)


def micros(instant: datetime) -> int:
    return round(instant.timestamp() * 1_000_000)


def replay_of(folder: Path, settings: TrainingSettings) -> Replay:
    dataset = write_small_shop(folder / "dataset")
    events = pl.read_parquet(dataset / "events.parquet").filter(pl.col("occurred_at") < QUIET)
    rng = np.random.default_rng(3)
    views = pl.DataFrame(
        {
            "event_id": [f"seen-{number}" for number in range(1500)],
            "kind": ["view"] * 1500,
            "member_id": [MEMBERS[100 + at] for at in rng.integers(100, size=1500)],
            "product_id": [PRODUCTS[at] for at in rng.integers(59, size=1500)],
            "occurred_at": [QUIET - timedelta(days=at) for at in rng.uniform(0, 16, 1500)],
        }
    ).cast({"occurred_at": events.schema["occurred_at"]})
    pl.concat([events, views], how="diagonal").write_parquet(dataset / "events.parquet")
    version = train(Dataset(dataset), folder / "models", settings, as_of=END)
    model = Model.from_artifact(artifact.open_model(folder / "models", version))
    shop = load(Dataset(dataset), before=END)
    past = shop.past(END.timestamp() / 86_400, min_support=settings.min_support)
    return Replay(folder, fit_facts(past, settings), Ranker(model))


@pytest.fixture(scope="module")
def replay(tmp_path_factory: pytest.TempPathFactory) -> Replay:
    return replay_of(tmp_path_factory.mktemp("replay"), SETTINGS)


@pytest.mark.parametrize("days", [0, 0.25, 1, 3.5, 40])
def test_only_the_clock_moves_and_both_say_the_same(replay: Replay, days: float) -> None:
    now = END + timedelta(days=days)
    members = list(range(0, 200, 13))
    pairs = replay.pairs(members)
    expected = replay.trained(pairs, collect(replay.facts, pairs), now)
    for member in members:
        served = replay.served(member, now)
        mine = {product: score for (m, product), score in expected.items() if m == member}
        assert len(mine) > 20
        assert {product: served[product] for product in mine} == pytest.approx(mine, abs=CLOSE)


def test_the_clock_alone_changes_the_order(replay: Replay) -> None:
    orders = {
        tuple(list(replay.served(MEMBER, END + timedelta(days=days)))[:5]) for days in (0, 3, 9, 20)
    }
    assert len(orders) > 1


def favourites(replay: Replay) -> list[str]:
    """What the member buys, the most often first."""
    repeats = replay.facts.past.repeats
    mine = slice(int(repeats.offsets[MEMBER]), int(repeats.offsets[MEMBER + 1]))
    order = np.argsort(-repeats.counts[mine], kind="stable")
    return [PRODUCTS[product] for product in repeats.products[mine][order]]


def test_events_of_the_feed_count_as_rows_of_the_dataset_would(replay: Replay) -> None:
    bought = favourites(replay)[0]
    feed = [
        ("view", "p10", timedelta(hours=1)),
        ("add_to_cart", "p20", timedelta(hours=2)),
        ("purchase", bought, timedelta(hours=3)),
        ("return", "p31", timedelta(hours=4)),
        ("click", "p45", timedelta(hours=25)),
    ]
    now = END + timedelta(hours=26)
    pairs = replay.pairs([MEMBER])
    told = collect(replay.facts, pairs)
    session = replay.session(pairs, now, feed)
    assert np.ptp(session["session"]) > 0.1
    assert len(np.unique(session["session_leaf"])) > 3
    last = np.where(
        pairs.products == PRODUCTS.index(bought), END.timestamp() / 86_400, told.last_day
    )
    told = replace(told, **session, last_day=last.astype(np.float32))
    expected = replay.trained(pairs, told, now)
    served = replay.served(MEMBER, now, feed)
    both = {product: served[product] for _, product in expected}
    assert both == pytest.approx({p: score for (_, p), score in expected.items()}, abs=CLOSE)
    silent = replay.served(MEMBER, now)
    assert served[bought] != pytest.approx(silent[bought], abs=2 * CLOSE)
    assert served["p11"] != pytest.approx(silent["p11"], abs=2 * CLOSE)


def test_both_forget_a_session_at_the_same_pace(replay: Replay) -> None:
    feed = [("view", "p10", timedelta(hours=1))]
    pairs = replay.pairs([MEMBER])
    at = {int(product): row for row, product in enumerate(pairs.products)}
    row = at[PRODUCTS.index("p11")]
    weight = replay.model.blend.repeat if collect(replay.facts, pairs).count[row] else None
    weights = (weight or replay.model.blend.new).part(features.SESSION)
    for days in (0.5, 1, 3):
        now = END + timedelta(days=days)
        told = replay.session(pairs, now, feed)
        columns = features.session(told["session"], told["session_leaf"])
        trained = columns[row] @ weights
        served = replay.served(MEMBER, now, feed)["p11"] - replay.served(MEMBER, now)["p11"]
        assert served == pytest.approx(float(trained), abs=CLOSE)


def test_a_product_outside_the_base_list_is_scored_as_new_to_the_member(tmp_path: Path) -> None:
    small = replay_of(tmp_path, SETTINGS.model_copy(update={"base_size": 4}))
    feed = [("view", "p10", timedelta(hours=1)), ("view", "p20", timedelta(hours=2))]
    now = END + timedelta(hours=3)
    start, stop = small.model.base.offsets[MEMBER : MEMBER + 2]
    listed = {PRODUCTS[product] for product in small.model.base.products[start:stop]}
    products = np.arange(len(PRODUCTS), dtype=np.int32)
    pairs = Pairs(np.full(len(products), MEMBER, np.int32), products)
    pace = {
        name: np.full(len(products), getattr(small.facts, name)[MEMBER])
        for name in ("member_orders", "member_days", "member_idle")
    }
    session = small.session(pairs, now, feed)
    told = replace(of_nobody(small.facts), **session, **pace)
    expected = small.trained(pairs, told, now)
    reached = {
        product: score
        for (_, product), score in expected.items()
        if session["session"][PRODUCTS.index(product)] > 0 and product not in listed
    }
    assert len(reached) > 10
    served = small.served(MEMBER, now, feed)
    assert {product: served[product] for product in reached} == pytest.approx(reached, abs=CLOSE)


@pytest.mark.parametrize("days", [0.6, 3])
def test_a_first_order_counts_nearly_as_the_next_model_will_count_it(
    replay: Replay, days: float
) -> None:
    rng = np.random.default_rng(4)
    repeats, now = replay.facts.past.repeats, END + timedelta(days=days)
    first = {}
    for member in range(0, 200, 8):
        mine = repeats.products[repeats.offsets[member] : repeats.offsets[member + 1]]
        first[member] = PRODUCTS[int(rng.choice(np.setdiff1d(np.arange(58), mine)))]
    events = pl.read_parquet(replay.folder / "dataset" / "events.parquet")
    rows = pl.DataFrame(
        [
            {"event_id": f"first-{member}", "kind": "purchase", "product_id": product,
             "member_id": MEMBERS[member], "occurred_at": END + timedelta(hours=1)}
            for member, product in first.items()
        ]
    ).cast({"occurred_at": events.schema["occurred_at"]})  # fmt: skip
    past = replay.past_with(rows, now)
    facts = fit_facts(past, SETTINGS)
    pairs = Pairs(
        np.array(list(first), np.int32), np.array([*map(PRODUCTS.index, first.values())], np.int32)
    )
    # what belongs to the member alone stays as it was, as in the rest of the list
    before = collect(replay.facts, pairs)
    kept = {name: getattr(before, name) for name in ("member_orders", "member_days", "member_idle")}
    expected = replay.trained(pairs, replace(collect(facts, pairs), **kept), now)
    stays_new = replace(replay, ranker=Ranker(replace(replay.model, once=None)))
    off = [
        [
            abs(one.served(member, now, feed)[product] - expected[member, product])
            for member, product in first.items()
            for feed in [[("purchase", product, timedelta(hours=1))]]
        ]
        for one in (replay, stays_new)
    ]
    assert np.mean(off[0]) < np.mean(off[1]) / 4
