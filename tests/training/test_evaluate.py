import json
from datetime import timedelta
from math import log2
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.dataset import Dataset
from recsys.errors import DataError
from tests.small_shop import BEGIN, END, NEVER_BOUGHT
from training.config import TrainingSettings
from training.evaluate import Evaluation, evaluate
from training.shop import Shop, load
from training.splits import SplitName

AS_OF = END - timedelta(days=14)
FAST = TrainingSettings(windows=2, iterations=3, factors=8, horizon_days=14.0)
K = 5
METRICS = {"recall", "ndcg", "hit_rate"}
SOURCES = {"segment", "popular", "own", "together", "similar", "neighbours", "taste"}
REFERENCES = {"popular", "popular-segment", "repeat", "als", "bm25"}
OF_BASKETS = {"global-top", "personal-top", "up-cf", "tifuknn"}


@pytest.fixture(scope="module")
def shop(small_shop: Path) -> Shop:
    return load(Dataset(small_shop))


@pytest.fixture(scope="module")
def found(shop: Shop) -> Evaluation:
    return evaluate(shop, AS_OF, FAST, k=K)


@pytest.fixture(scope="module")
def truth(small_shop: Path) -> dict[str, dict[str, set[str]]]:
    """By task and member, from the files alone, with Polars."""
    bought = pl.read_parquet(small_shop / "events.parquet").filter(pl.col("kind") == "purchase")
    past = bought.filter(pl.col("occurred_at") < AS_OF)
    lines = past.unique(["order_id", "product_id"])
    catalogue = lines.group_by("product_id").len().filter(pl.col("len") >= FAST.min_support)
    later = (
        bought.filter(
            pl.col("occurred_at").is_between(AS_OF, AS_OF + timedelta(days=14), closed="left"),
            pl.col("member_id").is_in(past["member_id"].drop_nulls().unique().to_list()),
        )
        .join(catalogue, on="product_id")
        .unique(["member_id", "product_id"])
    )
    pairs = ["member_id", "product_id"]
    known = later.join(past, on=pairs, how="semi")
    fresh = later.join(past, on=pairs, how="anti")
    return {task: _sets(rows) for task, rows in (("all", later), ("repeat", known), ("new", fresh))}


def _sets(rows: pl.DataFrame) -> dict[str, set[str]]:
    grouped = rows.group_by("member_id").agg("product_id")
    return {member: set(products) for member, products in grouped.iter_rows()}


def test_the_report_has_the_shape_that_is_promised(found: Evaluation) -> None:
    report = found.report
    assert list(report) == [
        "as_of", "split", "horizon_days", "newcomers", "k", "tasks", "seconds",
    ]  # fmt: skip
    assert (report["split"], report["newcomers"]) == ("date", 0)
    assert (report["as_of"], report["horizon_days"], report["k"]) == (f"{AS_OF:%Y-%m-%d}", 14, K)
    assert set(report["tasks"]) == {"all", "new", "repeat"}
    for task in report["tasks"].values():
        assert list(task) == ["members", "rows", "references", "slices", "launched"]
        assert set(task["rows"]) == SOURCES | {"ranker"}
        assert set(task["references"]) == REFERENCES
        assert set(task["slices"]) <= {"1-2", "3-5", "6+"}
        for row in (*task["rows"].values(), *task["references"].values()):
            assert set(row) == METRICS
            assert all(0 <= value <= 1 for value in row.values())
        for part in task["slices"].values():
            assert set(part) == METRICS | {"members", "rows", "references"}
            assert set(part["rows"]) == SOURCES | {"ranker"}
            assert set(part["references"]) == REFERENCES
            assert part["rows"]["ranker"] == {name: part[name] for name in METRICS}
    assert all(seconds >= 0 for seconds in report["seconds"].values())
    assert json.loads(json.dumps(report)) == report


def test_the_members_are_those_with_something_true(
    found: Evaluation, truth: dict[str, dict[str, set[str]]]
) -> None:
    for task, facts in found.report["tasks"].items():
        assert facts["members"] == len(truth[task])
        assert sum(part["members"] for part in facts["slices"].values()) == len(truth[task])


def test_what_is_new_and_what_is_repeated_are_all(truth: dict[str, dict[str, set[str]]]) -> None:
    for member, products in truth["all"].items():
        new, repeat = truth["new"].get(member, set()), truth["repeat"].get(member, set())
        assert new | repeat == products
        assert not new & repeat
    assert len(truth["new"]) > 20


def test_the_lists_scored_again_give_the_printed_numbers(
    found: Evaluation, truth: dict[str, dict[str, set[str]]]
) -> None:
    for task, wanted in truth.items():
        lists: dict[str, list[str]] = {}
        rows = found.lists.filter(pl.col("task") == task).sort("member_id", "rank")
        for member, rank, product in rows.select("member_id", "rank", "product_id").iter_rows():
            assert rank == len(lists.setdefault(member, [])) + 1
            lists[member].append(product)
        assert {len(products) for products in lists.values()} <= set(range(K + 1))
        sums = dict.fromkeys(METRICS, 0.0)
        for member, products in wanted.items():
            hits = [at for at, p in enumerate(lists.get(member, [])) if p in products]
            ideal = sum(1 / log2(at + 2) for at in range(min(K, len(products))))
            sums["recall"] += len(hits) / len(products)
            sums["ndcg"] += sum(1 / log2(at + 2) for at in hits) / ideal
            sums["hit_rate"] += bool(hits)
        printed = found.report["tasks"][task]["rows"]["ranker"]
        assert printed == pytest.approx({m: s / len(wanted) for m, s in sums.items()}, abs=1e-5)


def test_lists_hold_what_their_task_allows(small_shop: Path, found: Evaluation) -> None:
    past = pl.read_parquet(small_shop / "events.parquet").filter(
        pl.col("kind") == "purchase", pl.col("occurred_at") < AS_OF
    )
    pairs = ["member_id", "product_id"]
    new, repeat = (found.lists.filter(pl.col("task") == task) for task in ("new", "repeat"))
    assert new.join(past, on=pairs, how="semi").is_empty()
    assert repeat.join(past, on=pairs, how="anti").is_empty()
    assert found.lists.select("task", *pairs).is_unique().all()
    assert NEVER_BOUGHT not in found.lists["product_id"]
    assert found.lists.columns == ["task", "member_id", "rank", "product_id"]


def test_habits_are_found(found: Evaluation) -> None:
    rows = found.report["tasks"]["all"]["rows"]
    assert rows["ranker"]["recall"] > 1.5 * rows["popular"]["recall"]
    assert found.report["tasks"]["new"]["rows"]["own"]["recall"] == 0
    references = found.report["tasks"]["all"]["references"]
    assert references["repeat"]["ndcg"] > references["popular"]["ndcg"]


def test_evaluating_again_gives_the_same_numbers(shop: Shop, found: Evaluation) -> None:
    again = evaluate(shop, AS_OF, FAST, k=K, references=False)
    for task, facts in again.report["tasks"].items():
        assert facts["rows"] == found.report["tasks"][task]["rows"]
        assert facts["references"] == {}
    assert again.lists.equals(found.lists)


def test_what_comes_after_the_horizon_changes_no_number(
    small_shop: Path, tmp_path: Path, found: Evaluation
) -> None:
    changed = tmp_path / "events.parquet"
    rows = pl.read_parquet(small_shop / "events.parquet")
    extra = rows.filter(pl.col("kind") == "purchase").head(300)
    after = extra.with_columns(
        pl.lit(AS_OF + timedelta(days=14)).cast(rows.schema["occurred_at"]).alias("occurred_at"),
        ("after-" + pl.col("event_id")).alias("event_id"),
        ("after-" + pl.col("order_id")).alias("order_id"),
    )
    pl.concat([after, rows]).write_parquet(changed)
    for name in ("members", "products", "promotions"):
        (tmp_path / f"{name}.parquet").hardlink_to(small_shop / f"{name}.parquet")
    again = evaluate(load(Dataset(tmp_path)), AS_OF, FAST, k=K)
    assert again.report["tasks"] == found.report["tasks"]


@pytest.mark.parametrize(
    ("as_of", "days"),
    [(END, 7.0), (BEGIN, 7.0), (END + timedelta(days=900), 7.0), (BEGIN - timedelta(days=9), 7.0)],
)
def test_a_date_without_anything_to_test_on_says_what_to_choose(
    shop: Shop, as_of: Any, days: float
) -> None:
    with pytest.raises(DataError, match=r"Choose an --as-of inside the data, or a longer"):
        evaluate(shop, as_of, FAST.model_copy(update={"horizon_days": days}))


def test_members_are_sliced_by_their_orders_before(small_shop: Path, shop: Shop) -> None:
    early = BEGIN + timedelta(days=14)
    facts = evaluate(shop, early, FAST, k=K, references=False).report["tasks"]["all"]
    past = pl.read_parquet(small_shop / "events.parquet").filter(
        pl.col("kind") == "purchase", pl.col("occurred_at") < early
    )
    orders = past.group_by("member_id").agg(pl.col("order_id").n_unique().alias("orders"))
    assert set(facts["slices"]) == {"1-2", "3-5"}
    few = orders.filter(pl.col("orders") <= 2, pl.col("member_id").is_not_null()).height
    assert 0 < facts["slices"]["1-2"]["members"] <= few


def test_slices_add_up_to_the_whole(found: Evaluation) -> None:
    for facts in found.report["tasks"].values():
        parts = facts["slices"].values()
        for kind in ("rows", "references"):
            for name, row in facts[kind].items():
                sums = sum(part["members"] * part[kind][name]["recall"] for part in parts)
                assert sums / facts["members"] == pytest.approx(row["recall"], abs=2e-5)


@pytest.fixture(scope="module")
def by_basket(shop: Shop) -> Evaluation:
    return evaluate(shop, None, FAST, split=SplitName.LAST_BASKET, k=K)


def test_by_last_basket_the_truth_is_each_members_last_order(
    small_shop: Path, by_basket: Evaluation
) -> None:
    lines = pl.read_parquet(small_shop / "events.parquet").filter(pl.col("kind") == "purchase")
    began = pl.col("occurred_at").min().over("order_id")
    theirs = lines.filter(pl.col("member_id").is_not_null()).with_columns(began.alias("began"))
    last = (pl.col("began") == pl.col("began").max()).over("member_id")
    held = theirs.filter(last & (pl.col("order_id").n_unique().over("member_id") > 1))
    left = lines.join(held, on="event_id", how="anti").unique(["order_id", "product_id"])
    support = left.group_by("product_id").len().filter(pl.col("len") >= FAST.min_support)
    truth = _sets(held.join(support, on="product_id").unique(["member_id", "product_id"]))
    report = by_basket.report
    assert (report["split"], report["horizon_days"]) == ("last-basket", None)
    assert report["as_of"] == f"{END:%Y-%m-%d}"
    facts = report["tasks"]["all"]
    assert facts["members"] == len(truth)
    lists = _sets(by_basket.lists.filter(pl.col("task") == "all"))
    recall = sum(len(lists[member] & wanted) / len(wanted) for member, wanted in truth.items())
    assert facts["rows"]["ranker"]["recall"] == pytest.approx(recall / len(truth), abs=1e-5)


def test_by_last_basket_there_are_the_references_of_that_task(by_basket: Evaluation) -> None:
    facts = by_basket.report["tasks"]["all"]
    assert set(facts["references"]) == REFERENCES | OF_BASKETS
    strong = [facts["references"][name]["recall"] for name in ("up-cf", "tifuknn")]
    assert min(strong) > 2 * facts["references"]["global-top"]["recall"]
    assert facts["rows"]["ranker"]["recall"] > max(strong)


def test_newcomers_are_tested_alone_and_have_hardly_a_past(shop: Shop, found: Evaluation) -> None:
    some = evaluate(shop, AS_OF, FAST, newcomers=0.4, k=K)
    facts, whole = (one.report["tasks"]["all"] for one in (some, found))
    assert some.report["newcomers"] == 0.4
    assert set(facts["slices"]) == {"1-2"}
    assert 0.2 * whole["members"] < facts["members"] < 0.6 * whole["members"]
    assert facts["rows"]["ranker"]["recall"] < whole["rows"]["ranker"]["recall"]
    lists = some.lists.filter(pl.col("task") == "all")
    assert lists["member_id"].n_unique() == facts["members"]


def test_nothing_to_test_by_last_basket_says_what_to_choose(shop: Shop) -> None:
    with pytest.raises(DataError, match=r"nobody has two orders before 2024-.*later --as-of"):
        evaluate(shop, BEGIN - timedelta(days=1), FAST, split=SplitName.LAST_BASKET)
    with pytest.raises(DataError, match=r"of 1e-09 of the members nobody .* more --newcomers"):
        evaluate(shop, AS_OF, FAST, newcomers=1e-9)
