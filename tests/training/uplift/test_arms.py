"""A shop's own draws as a trial: which rows, what was known of them, what came of them."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recsys import artifact, measured
from recsys.dataset import Dataset
from recsys.model import Model
from tests.training.uplift.moved_shop import (
    AS_OF,
    MEMBERS,
    PUSH,
    REGULARS,
    TIME,
    write_tried_shop,
)  # fmt: skip
from training.config import TrainingSettings
from training.redemption import campaigns as campaigning
from training.redemption.learn import learn
from training.run import train
from training.shop import load
from training.uplift import arms
from training.uplift.arms import Drawn, Result

DAY = AS_OF.timestamp() / 86_400
HORIZON = 7.0
Change = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read it, never write into it."""
    return write_tried_shop(tmp_path_factory.mktemp("tried") / "dataset")


@pytest.fixture
def copy(tried: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tried, tmp_path / "dataset"))


def change(dataset: Path, table: str, how: Change) -> None:
    path = dataset / f"{table}.parquet"
    how(pl.read_parquet(path)).write_parquet(path)


def drawn(dataset: Path, *, day: float = DAY) -> Drawn:
    whole = Dataset(dataset)
    return arms.load(whole, load(whole), until=day - HORIZON)


def result(dataset: Path) -> Result:
    whole = Dataset(dataset)
    shop = load(whole, before=AS_OF)
    campaigns = campaigning.load(whole, shop, before=AS_OF)
    weights = learn(shop, campaigns, DAY).redemption
    return arms.measure(
        arms.load(whole, shop, until=DAY - HORIZON), shop, campaigns, weights,
        horizon=HORIZON, rng=np.random.default_rng(1),
    )  # fmt: skip


def trained(dataset: Path, models: Path) -> Model:
    version = train(Dataset(dataset), models, TrainingSettings(min_support=1), as_of=AS_OF)
    return Model.from_artifact(artifact.open_model(models, version, verify=True))


def first(**columns: Any) -> Change:
    """One more row, of the first member."""

    def added(rows: pl.DataFrame) -> pl.DataFrame:
        row = pl.DataFrame([rows.row(0, named=True) | columns], schema=rows.schema)
        return pl.concat([rows, row])

    return added


def test_who_is_pushed_and_who_is_held_out_is_as_it_was_drawn(tried: Path) -> None:
    table = Dataset(tried).read("arms").sort("member_id")
    found = drawn(tried)
    assert len(found) == len(MEMBERS)
    assert found.held.tolist() == (table["arm"] == "holdout").to_list()
    assert set(found.share.tolist()) == {0.5}
    assert set(found.days.tolist()) == {PUSH.timestamp() / 86_400}


def test_only_the_first_push_of_a_draw_teaches(copy: Path) -> None:
    week = timedelta(days=7)
    change(copy, "arms", first(at=PUSH + week / 14, arm="holdout"))
    change(copy, "arms", first(at=PUSH + week / 14, arm="holdout", epoch=2))
    found = drawn(copy)
    assert len(found) == len(MEMBERS) + 1
    assert (found.members == found.members[0]).sum() == 2
    change(copy, "arms", first(at=PUSH - week, arm="treat", share=0.0))  # it moved them already
    assert (drawn(copy).members == found.members[0]).sum() == 1


@pytest.mark.parametrize(
    "columns",
    [{"share": 0.0}, {"share": 1.0}, {"coupon_id": "z"}, {"coupon_id": None}, {"member_id": "x"}],
)
def test_who_was_not_drawn_or_is_not_known_teaches_nothing(
    copy: Path, columns: dict[str, Any]
) -> None:
    change(copy, "arms", first(epoch=9, **columns))
    assert len(drawn(copy)) == len(MEMBERS)


def test_a_coupon_is_looked_for_in_its_campaign_and_then_in_any(copy: Path) -> None:
    own = drawn(copy).coupons[0]
    change(copy, "arms", lambda rows: rows.with_columns(campaign_id=pl.lit("second")))
    assert drawn(copy).coupons[0] != own
    change(copy, "arms", lambda rows: rows.with_columns(campaign_id=pl.lit("of no table")))
    assert drawn(copy).coupons[0] == own


def test_a_push_teaches_when_its_horizon_has_ended(tried: Path) -> None:
    ended = PUSH.timestamp() / 86_400 + HORIZON
    assert len(drawn(tried, day=ended)) == len(MEMBERS)
    assert len(drawn(tried, day=ended - 1e-6)) == 0


def test_orders_are_counted_from_the_push_to_the_horizon(copy: Path) -> None:
    shop = load(Dataset(copy))
    some = drawn(copy)
    for days in (2.0, 7.0):
        counts = arms.orders_after(some, shop, days=days)
        events = Dataset(copy).read("events")
        until = PUSH + timedelta(days=days)
        inside = events.filter(
            pl.col("occurred_at").is_between(PUSH, until, closed="right")
        ).group_by("member_id").agg(pl.col("order_id").n_unique())  # fmt: skip
        expected = dict(inside.iter_rows())
        names = [shop.member_ids[row] for row in some.members]
        assert counts.tolist() == [expected.get(name, 0) for name in names]
    assert counts.sum() > 100


def test_what_is_known_of_a_push_is_what_serving_would_have_known(
    tried: Path, tmp_path: Path
) -> None:
    """The model of the push's midnight, asked at that instant, and the trial's features."""
    whole = Dataset(tried)
    midnight = PUSH.replace(hour=0)
    version = train(whole, tmp_path, TrainingSettings(min_support=1), as_of=midnight)
    model = Model.from_artifact(artifact.open_model(tmp_path, version))
    assert model.redeeming is not None
    day = midnight.timestamp() / 86_400
    members = np.array([model.members.row(member) for member in MEMBERS], np.int32)
    shop = load(whole, before=AS_OF)
    some = arms.load(whole, shop, until=DAY)
    served = model.redeeming.table(members, now=day)[np.arange(len(MEMBERS)), some.coupons]
    campaigns = campaigning.load(whole, shop, before=AS_OF)
    known = arms.known_of(some, shop, campaigns, model.redeeming.weights)
    assert [shop.member_ids[row] for row in some.members] == MEMBERS
    np.testing.assert_array_equal(measured.features(known), measured.features(served))
    assert known.std(axis=0).max() > 0.5


def test_the_effect_of_each_kind_of_member_is_found(tried: Path) -> None:
    found = result(tried)
    assert found.measured is not None
    facts = found.facts
    assert facts["pushed"] + facts["held_out"] == len(MEMBERS)  # type: ignore[operator]
    assert facts["orders_for_a_redemption"] == pytest.approx(0.24, abs=0.15)
    assert found.measured.rows == len(MEMBERS)


def test_with_too_few_nothing_is_learned_and_it_is_said_why(copy: Path, tmp_path: Path) -> None:
    change(copy, "arms", lambda rows: rows.head(550))
    model = trained(copy, tmp_path / "models")
    assert model.measured is None
    assert model.manifest["effect"]["none_because"] == "an arm has fewer than 300 rows"


def test_with_too_much_noise_nothing_is_learned_and_it_is_said_why(copy: Path) -> None:
    """Ten orders a member in the week, whatever their arm, and then none."""
    events = copy / "events" / "week.parquet"
    rows = pl.read_parquet(events)
    more = [
        rows.with_columns(
            order_id=f"{number} " + pl.col("order_id"), event_id=f"{number} " + pl.col("event_id"),
            occurred_at=pl.lit(PUSH + timedelta(days=1, hours=number), TIME),
        )
        for number in range(10)
    ]  # fmt: skip
    pl.concat([rows, *more]).write_parquet(events)
    found = result(copy)
    assert found.measured is None
    assert found.facts["none_because"] == "the mean's standard error is above 0.1"
    assert found.facts["standard_error"] > arms.MOST_ERROR  # type: ignore[operator]


def test_a_shop_without_draws_says_nothing_of_an_effect(copy: Path, tmp_path: Path) -> None:
    (copy / "arms.parquet").unlink()
    model = trained(copy, tmp_path / "models")
    assert model.measured is None
    assert model.manifest["effect"] is None


def test_the_effect_is_among_the_files_whose_bytes_are_checked(tried: Path, tmp_path: Path) -> None:
    model = trained(tried, tmp_path)
    assert model.measured is not None
    file = tmp_path / model.version / measured.FILE
    assert measured.FILE in model.manifest["files"]
    file.write_bytes(file.read_bytes().replace(b"1", b"2", 1))
    with pytest.raises(artifact.ModelError, match="is not what was written"):
        artifact.open_model(tmp_path, model.version, verify=True)


def test_what_happens_later_changes_nothing(copy: Path, tmp_path: Path) -> None:
    before = trained(copy, tmp_path / "before")
    later = AS_OF + timedelta(days=1)
    assert before.measured is not None

    def again(**times: Any) -> Change:
        return lambda rows: pl.concat([rows, rows.reverse().with_columns(**times)])

    change(
        copy, "arms", again(at=pl.lit(later, TIME), arm=pl.lit("treat"), epoch=pl.lit(2, pl.Int64))
    )
    # their horizon has not ended
    change(copy, "arms", first(at=AS_OF - timedelta(days=6), epoch=3))
    change(copy, "pushes", again(sent_at=pl.lit(later, TIME)))
    change(copy, "redemptions", again(redeemed_at=pl.lit(later, TIME)))
    events = copy / "events" / "week.parquet"
    rows = pl.read_parquet(events)
    news = rows.with_columns(
        occurred_at=pl.lit(later, TIME), event_id="later " + pl.col("event_id"),
        order_id="later " + pl.col("order_id"),
    )  # fmt: skip
    pl.concat([rows, news]).write_parquet(events)
    after = trained(copy, tmp_path / "after")
    assert after.version == before.version
    assert after.measured is not None
    assert after.measured.to_bytes() == before.measured.to_bytes()


def test_regulars_are_driven_away_and_the_seldom_come(tried: Path, tmp_path: Path) -> None:
    model = trained(tried, tmp_path)
    assert model.measured is not None
    assert model.redeeming is not None
    rows = np.array([model.members.row(member) for member in MEMBERS], np.int32)
    table = model.redeeming.table(rows, now=DAY)
    chance = model.redeeming.chances(table)
    orders = model.measured.gained(table, chance).orders[:, -1]
    regular = np.array([member in REGULARS for member in MEMBERS])
    assert orders[regular].mean() == pytest.approx(-0.2, abs=0.1)
    assert orders[~regular].mean() == pytest.approx(0.4, abs=0.1)
