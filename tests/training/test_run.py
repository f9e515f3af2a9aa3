import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
import pytest

from recsys import artifact, features
from recsys.artifact import Artifact
from recsys.dataset import Dataset
from recsys.errors import DataError
from recsys.model import Model
from tests.small_shop import BEGIN, END, MEMBERS, PRODUCTS, SOLD_OUT, TIME
from tests.training.logs import FIRST, dataset_of, on
from training import ablation
from training.config import SourceName, TrainingSettings
from training.ranker import fit_facts, learn, rank
from training.run import train
from training.shop import load
from training.splits import ByDate

FAST = TrainingSettings(windows=2, iterations=3, factors=8, browsing_needed=1)
CUT = END - timedelta(days=10)
"""the as-of date of the models below"""
NEVER = pl.lit(None, TIME)
SOON, EARLIER = CUT + timedelta(days=1), CUT - timedelta(days=1)


def trained(dataset: Path, models: Path, as_of: datetime | None = CUT) -> Artifact:
    version = train(Dataset(dataset), models, FAST, as_of=as_of)
    return artifact.open_model(models, version)


def differing(one: Artifact, other: Artifact) -> set[str]:
    """Names of the arrays that are not the same bit for bit, and parts of the manifest."""
    assert one.arrays.keys() == other.arrays.keys()
    arrays = {
        name
        for name, array in one.arrays.items()
        if array.dtype != other.arrays[name].dtype
        or array.tobytes() != other.arrays[name].tobytes()
    }
    files = {
        name
        for name, path in one.others.items()
        if path.read_bytes() != other.others[name].read_bytes()
    }
    learned = ("blend", "coupons", "members", "products", "window", "gate", "as_of", "feed")
    return arrays | files | {name for name in learned if one.manifest[name] != other.manifest[name]}


@pytest.fixture(scope="module")
def dataset(small_shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small shop, and a login before the cut of one of two visitors who bought."""
    copy = Path(shutil.copytree(small_shop, tmp_path_factory.mktemp("run") / "dataset"))
    logins = {"visitor_id": ["v1"], "member_id": ["m001"], "at": [EARLIER]}
    pl.DataFrame(logins, schema_overrides={"at": TIME}).write_parquet(copy / "identities.parquet")
    for table, column in (("promotions", "known_from"), ("members", "valid_from")):
        rewrite(copy, table, lambda rows, name=column: rows.with_columns(NEVER.alias(name)))
    bought = {"kind": "purchase", "product_id": "p30", "occurred_at": CUT - timedelta(days=5)}
    for visitor in ("v1", "v2"):
        more("events", **bought, visitor_id=visitor, order_id=visitor)(copy, CUT)
    return copy


@pytest.fixture(scope="module")
def before(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    return trained(dataset, tmp_path_factory.mktemp("models"))


@pytest.fixture
def copy(dataset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(dataset, tmp_path / "dataset"))


Change = Callable[[Path, datetime], None]


def rewrite(copy: Path, table: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    path = copy / f"{table}.parquet"
    change(pl.read_parquet(path)).write_parquet(path)


def more(table: str, **row: object) -> Change:
    """Add a row; a time field named `None` gets the instant."""

    def change(copy: Path, at: datetime) -> None:
        def add(rows: pl.DataFrame) -> pl.DataFrame:
            filled = {name: at if value is NOW else value for name, value in row.items()}
            extra = pl.DataFrame([filled]).cast(
                {name: rows.schema[name] for name in filled}  # type: ignore[arg-type]
            )
            # in front, so that an order of rows that mattered would show
            return pl.concat([extra, rows], how="diagonal")

        rewrite(copy, table, add)

    return change


NOW = object()


def without_events(copy: Path, at: datetime) -> None:
    day = pl.col("occurred_at").is_between(at, at + timedelta(days=1), closed="left")
    rewrite(copy, "events", lambda rows: rows.filter(~day))


def other_amounts(copy: Path, at: datetime) -> None:
    day = pl.col("occurred_at").is_between(at, at + timedelta(days=1), closed="left")
    rewrite(copy, "events", lambda rows: rows.with_columns(
        pl.when(day).then(pl.col("amount") * 3).otherwise("amount").alias("amount")
    ))  # fmt: skip


PURCHASE = {"kind": "purchase", "product_id": "p30", "occurred_at": NOW, "event_id": "new"}
CHANGES: dict[str, Change] = {
    "a purchase": more("events", **PURCHASE, member_id="m000", order_id="o"),
    "a purchase in an old order": more("events", **PURCHASE, member_id="m003", order_id="m003-9"),
    "a strangers purchase": more("events", **PURCHASE, order_id="o"),
    "a new member": more("events", **PURCHASE, member_id="a new one", order_id="o"),
    "a new product": more(
        "events", **PURCHASE | {"product_id": "a new one"}, member_id="m000", order_id="o"
    ),
    "a day without events": without_events,
    "other amounts": other_amounts,
    "a login": more("identities", visitor_id="v2", member_id="m002", at=NOW),
    "a promotion": more(
        "promotions", product_id="p31", starts_at=CUT - timedelta(days=3),
        ends_at=CUT + timedelta(days=3), share=0.9, known_from=NOW,
    ),
    "a price": more("products", product_id="p30", price=99.0, valid_from=NOW),
    "a stock": more("products", product_id="p30", in_stock=False, valid_from=NOW),
    "a category": more("products", product_id="p30", category="NEW > ONE", valid_from=NOW),
    "a listed product": more("products", product_id="a new one", valid_from=NOW),
    "a listed member": more("members", member_id="a new one", valid_from=NOW),
}  # fmt: skip


def test_nothing_that_was_not_known_changes_a_bit_of_the_model(
    copy: Path, before: Artifact, tmp_path: Path
) -> None:
    a_view = more("events", **PURCHASE | {"kind": "view"}, member_id="m000")
    for hours, change in enumerate((a_view, *CHANGES.values())):
        change(copy, SOON + timedelta(hours=hours))
    after = trained(copy, tmp_path / "models")
    assert differing(before, after) == set()
    assert after.version == before.version


@pytest.mark.parametrize("name", CHANGES)
def test_the_same_change_before_the_as_of_date_changes_the_model(
    copy: Path, before: Artifact, tmp_path: Path, name: str
) -> None:
    CHANGES[name](copy, EARLIER)
    assert differing(before, trained(copy, tmp_path / "models")) != set()


def test_an_event_at_the_as_of_instant_itself_is_the_future(
    copy: Path, before: Artifact, tmp_path: Path
) -> None:
    CHANGES["a purchase"](copy, CUT)
    assert differing(before, trained(copy, tmp_path / "models")) == set()


def test_the_same_seed_gives_the_same_model_in_a_process_with_other_threads(
    dataset: Path, before: Artifact, tmp_path: Path
) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.training.test_run import trained;"
        "print(trained(Path(sys.argv[1]), Path(sys.argv[2])).version)"
    )
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "POLARS_MAX_THREADS", "PYTHONHASHSEED")
    done = subprocess.run(
        [sys.executable, "-c", code, str(dataset), str(tmp_path)],
        env=dict(os.environ) | dict.fromkeys(names, "1"),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    other = artifact.open_model(tmp_path, done.stdout.strip())
    assert differing(before, other) == set()
    assert other.version == before.version


def test_another_seed_gives_another_model(dataset: Path, before: Artifact, tmp_path: Path) -> None:
    settings = FAST.model_copy(update={"seed": 2})
    version = train(Dataset(dataset), tmp_path, settings, as_of=CUT)
    assert "base_static" in differing(before, artifact.open_model(tmp_path, version))


@pytest.mark.parametrize("positives", [FAST.tree_positives, 50])
def test_base_lists_are_each_members_best_by_the_learned_ranker(
    dataset: Path, tmp_path: Path, positives: int
) -> None:
    settings = FAST.model_copy(update={"tree_positives": positives})
    version = train(Dataset(dataset), tmp_path, settings, as_of=CUT)
    model = Model.from_artifact(artifact.open_model(tmp_path, version))
    shop = load(Dataset(dataset), before=CUT)
    day = CUT.timestamp() / 86_400
    facts = fit_facts(shop.past(day, min_support=settings.min_support), settings)
    ranker = learn(ByDate(shop, day, settings), settings).ranker
    assert (ranker.trees.repeat is not None) == (positives == 50)
    blend = ranker.blend
    pairs, collected, _, logits = rank(facts, ranker, np.arange(200, dtype=np.int32))
    repeated = collected.count > 0
    session = np.where(
        repeated,
        features.session(collected.session, collected.session_leaf)
        @ blend.repeat.part(features.SESSION),
        features.session(collected.session, collected.session_leaf)
        @ blend.new.part(features.SESSION),
    )
    for member in range(0, 200, 7):
        mine = np.flatnonzero(pairs.members == member)
        order = mine[np.argsort(-logits[mine], kind="stable")]
        rows = slice(int(model.base.offsets[member]), int(model.base.offsets[member + 1]))
        assert model.base.products[rows].tolist() == pairs.products[order].tolist()
        expected = logits[order] - session[order]
        np.testing.assert_allclose(model.base_logits(rows, day), expected, atol=0.02)
        assert (model.base.last_day[rows] > 0).tolist() == repeated[order].tolist()


def test_lists_are_cut_to_the_size_asked(dataset: Path, before: Artifact, tmp_path: Path) -> None:
    settings = FAST.model_copy(update={"base_size": 7})
    version = train(Dataset(dataset), tmp_path, settings, as_of=CUT)
    short = Model.from_artifact(artifact.open_model(tmp_path, version))
    whole = Model.from_artifact(before)
    for member in range(200):
        start = int(whole.base.offsets[member])
        found = short.base.products[short.base.offsets[member] : short.base.offsets[member + 1]]
        assert found.tolist() == whole.base.products[start : start + 7].tolist()


def test_the_manifest_says_what_the_model_was_made_of(dataset: Path, before: Artifact) -> None:
    facts = before.manifest
    assert facts["as_of"] == f"{CUT:%Y-%m-%d}"
    assert facts["window"] == ["2025-01-01", f"{EARLIER:%Y-%m-%d}"]
    assert facts["config"] == FAST.model_dump(mode="json")
    assert facts["members"] == len(MEMBERS)
    assert 0 < facts["coverage"] <= 1
    assert ["events.parquet", (dataset / "events.parquet").stat().st_size] in facts["dataset"]
    assert facts["gate"]["recall"] > 0.5
    assert facts["gate"]["current"] is None


def test_a_model_of_the_present_ends_at_the_midnight_after_the_last_event(
    dataset: Path, tmp_path: Path
) -> None:
    facts = trained(dataset, tmp_path, None).manifest
    assert facts["as_of"] == f"{END:%Y-%m-%d}"


def test_the_published_recipe_is_measured_on_the_same_data(
    dataset: Path, before: Artifact, tmp_path: Path
) -> None:
    worse = TrainingSettings(windows=2, factors=1, iterations=1, candidates=1, min_support=150)
    artifact.point_current(tmp_path, train(Dataset(dataset), tmp_path, worse, as_of=CUT))
    gate = trained(dataset, tmp_path).manifest["gate"]
    assert gate["recall"] == before.manifest["gate"]["recall"]
    assert gate["current"] != gate["recall"]


def test_a_broken_published_model_does_not_stop_the_training_that_mends_it(
    dataset: Path, before: Artifact, tmp_path: Path
) -> None:
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / artifact.MANIFEST).write_text("{")
    artifact.point_current(tmp_path, "broken")
    assert trained(dataset, tmp_path).version == before.version


def test_a_catalogue_without_dates_says_stock_and_price_of_the_present_only(
    copy: Path, tmp_path: Path
) -> None:
    rewrite(copy, "products", lambda rows: rows.drop("valid_from"))
    present = Model.from_artifact(trained(copy, tmp_path, None))
    sold_out = PRODUCTS.index(SOLD_OUT)
    assert not present.sellable[sold_out]
    assert present.prices[4] == 2.0
    then = Model.from_artifact(trained(copy, tmp_path))
    assert then.sellable.all()
    assert np.isnan(then.prices).all()


def test_the_models_feed_numbers_are_those_of_the_drained_parts(copy: Path, tmp_path: Path) -> None:
    (copy / "events").mkdir()
    drained = {"event_id": ["f1"], "kind": ["view"], "product_id": ["p01"], "occurred_at": [END],
               "member_id": ["m000"]}  # fmt: skip
    part = copy / "events" / "feed-0-1-17.parquet"
    pl.DataFrame(drained, schema_overrides={"occurred_at": TIME}).write_parquet(part)
    model = Model.from_artifact(trained(copy, tmp_path, None))
    assert model.feed_sequences == {0: 17}


def test_a_shop_of_purchases_alone_can_be_trained(tmp_path: Path) -> None:
    rows = [
        {"member_id": f"m{n % 3}", "product_id": f"p{n % 2}", "day": float(n), "order_id": f"{n}"}
        for n in range(12)
    ]
    data = dataset_of(tmp_path / "dataset", rows)
    version = train(data, tmp_path / "models", FAST)
    model = Model.from_artifact(artifact.open_model(tmp_path / "models", version))
    assert np.diff(model.base.offsets).tolist() == [2, 2, 2]
    assert model.coupons == []


def test_what_filters_read_is_in_the_model(tmp_path: Path) -> None:
    rows = [
        {"member_id": f"m{n % 3}", "product_id": f"p{n % 4}", "day": float(n), "order_id": f"o{n}"}
        for n in range(40)
    ]
    products = [
        {"product_id": "p0", "group_id": "g", "brand": "B", "regions": ["south", "north"],
         "organic": True, "litres": 0.5, "colour": "red", "no field!": "x"},
        {"product_id": "p1", "group_id": "g", "brand": "A", "regions": ["north", "south"],
         "organic": None, "litres": None, "colour": None, "no field!": "x"},
        {"product_id": "p2", "group_id": "h", "brand": "B", "regions": [],
         "organic": False, "litres": 2.0, "colour": "blue", "no field!": "x"},
    ]  # fmt: skip
    data = dataset_of(tmp_path / "dataset", rows, products=products)
    version = train(data, tmp_path / "models", FAST)
    model = Model.from_artifact(artifact.open_model(tmp_path / "models", version))
    assert model.groups.tolist() == [0, 0, 1, -1]
    assert [model.brands[row] for row in range(4)] == ["B", "A", "B", ""]
    assert [model.regions[row] for row in range(4)] == ['["north", "south"]'] * 2 + ["[]", ""]
    organic, litres, colour = (model.attributes[name] for name in ("organic", "litres", "colour"))
    assert organic.tolist() == [1, -1, 0, -1]
    np.testing.assert_equal(litres, [0.5, np.nan, 2.0, np.nan])
    assert [colour[row] for row in range(4)] == ["red", "", "blue", ""]
    assert set(model.attributes) == {"organic", "litres", "colour"}


def test_a_shop_with_too_little_support_is_told_the_setting(tmp_path: Path) -> None:
    rows = [{"member_id": "a", "product_id": "p", "day": 1.0}]
    data = dataset_of(tmp_path / "dataset", rows)
    with pytest.raises(DataError, match=r"stands in 5 orders.*GUESSLIKE_TRAINING__MIN_SUPPORT"):
        train(data, tmp_path / "models", FAST)
    with pytest.raises(DataError, match="before 2025-01-01"):
        train(data, tmp_path / "models", FAST, as_of=on(0))
    assert on(0).timestamp() / 86_400 == FIRST
    assert artifact.versions(tmp_path / "models") == []


def test_a_product_too_new_to_be_ranked_is_matched_with_members(copy: Path, tmp_path: Path) -> None:
    shelf = "DEPARTMENT 1 > AISLE 2 > SHELF 4"

    def launch(rows: pl.DataFrame) -> pl.DataFrame:
        new = {"product_id": "new", "title": "New", "category": shelf, "valid_from": EARLIER}
        return pl.concat([rows, pl.DataFrame([new])], how="diagonal_relaxed")

    rewrite(copy, "products", launch)
    model = Model.from_artifact(trained(copy, tmp_path))
    row = model.products.row("new")
    assert model.fresh_anybody.tolist() == [row]
    assert model.fresh.shape == (len(model.members), 1)
    assert (model.fresh == row).all()
    assert row not in model.base.products
    earlier = trained(copy, tmp_path, as_of=EARLIER - timedelta(days=1))
    assert Model.from_artifact(earlier).fresh.shape[1] == 0, "it was not known then"


def test_a_later_row_without_a_launch_takes_none_back(copy: Path, tmp_path: Path) -> None:
    def rows(catalogue: pl.DataFrame) -> pl.DataFrame:
        first = {"product_id": "new", "launched_at": EARLIER, "valid_from": BEGIN}
        later = {"product_id": "new", "title": "New", "valid_from": EARLIER}
        added = pl.DataFrame([first, later], infer_schema_length=None)
        return pl.concat([catalogue, added], how="diagonal_relaxed")

    rewrite(copy, "products", rows)
    model = Model.from_artifact(trained(copy, tmp_path))
    assert model.fresh_anybody.tolist() == [model.products.row("new")]


def test_to_leave_every_source_out_is_refused() -> None:
    with pytest.raises(ValueError, match="leaves no source"):
        TrainingSettings(without=get_args(SourceName))


@pytest.mark.parametrize("left", ["own", "taste", "together", "category"])
def test_what_is_left_out_has_no_weight(copy: Path, tmp_path: Path, left: str) -> None:
    settings = FAST.model_copy(update={"without": (left,)})
    version = train(Dataset(copy), tmp_path, settings, as_of=CUT)
    blend = Model.from_artifact(artifact.open_model(tmp_path, version)).blend
    silent = ablation.SPEAKS_THROUGH[left]  # type: ignore[index]
    assert not blend.repeat.part(silent).any()
    assert not blend.new.part(silent).any()
    assert blend.repeat.weights.any()


def test_a_search_starts_from_the_settings_and_goes_on_where_it_ended(
    dataset: Path, tmp_path: Path
) -> None:
    def tuned() -> dict[str, Any]:
        version = train(Dataset(dataset), tmp_path, FAST, as_of=CUT, tune_minutes=0.001)
        return artifact.read_manifest(tmp_path, version)

    first, second = tuned(), tuned()
    assert first["tuned"]["trials"] == 1
    assert first["config"] == FAST.model_dump(mode="json")
    assert first["tuned"]["before"] == first["tuned"]["recall"] == first["gate"]["recall"]
    assert second["tuned"]["trials"] == 2
    assert second["tuned"]["before"] == first["tuned"]["before"] <= second["tuned"]["recall"]


TRIAL_STATE = 6
"""in an Optuna journal: a trial began or ended"""


def test_a_search_killed_in_its_first_trial_still_compares_with_the_settings(
    dataset: Path, tmp_path: Path
) -> None:
    train(Dataset(dataset), tmp_path, FAST, as_of=CUT, tune_minutes=0.001)
    journal = tmp_path / "tuning.journal"
    lines = journal.read_text().splitlines(keepends=True)
    ended = max(at for at, line in enumerate(lines) if json.loads(line)["op_code"] == TRIAL_STATE)
    journal.write_text("".join(lines[:ended]))  # its end was never written
    version = train(Dataset(dataset), tmp_path, FAST, as_of=CUT, tune_minutes=0.001)
    tuned = artifact.read_manifest(tmp_path, version)["tuned"]
    assert tuned["before"] == tuned["recall"] is not None


def test_tiers_are_in_the_model_as_they_were_known(tmp_path: Path) -> None:
    rows = [
        {"member_id": f"m{n % 4}", "product_id": f"p{n % 2}", "day": float(n), "order_id": f"{n}"}
        for n in range(40)
    ]
    members = [
        {"member_id": "m0", "tier": "gold", "valid_from": None},
        {"member_id": "m1", "tier": "gold", "valid_from": on(1)},
        {"member_id": "m1", "tier": "silver", "valid_from": on(35)},
        {"member_id": "m2", "tier": None, "valid_from": on(1)},
    ]
    data = dataset_of(tmp_path / "dataset", rows, members=members)
    told = {}
    for name, as_of in (("then", on(30)), ("now", None)):
        version = train(data, tmp_path / name, FAST, as_of=as_of)
        model = Model.from_artifact(artifact.open_model(tmp_path / name, version))
        told[name] = {model.members.text(r): model.tier(r) for r in range(len(model.members))}
    assert told["then"] == {"m0": None, "m1": "gold", "m2": None, "m3": None}
    assert told["now"] == {"m0": "gold", "m1": "silver", "m2": None, "m3": None}
