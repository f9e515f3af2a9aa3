"""A generated shop is a dataset that can be trained on, the same from the same seed."""

from pathlib import Path

import polars as pl

from benchmarks.scale.run import size
from benchmarks.scale.shop import Size, write_shop
from recsys.dataset import Dataset

TINY = Size(20_000, 500, 1_000)


def test_a_shop_is_the_same_from_the_same_seed(tmp_path: Path) -> None:
    first, again = (Dataset(write_shop(tmp_path / name, TINY)) for name in ("a", "b"))
    for table in ("events", "products", "members"):
        assert first.read(table).equals(again.read(table))


def test_its_events_pass_every_check_and_have_the_size_asked_for(tmp_path: Path) -> None:
    events = Dataset(write_shop(tmp_path / "shop", TINY)).read("events")
    assert len(events) == TINY.events == size("20000,500,1000").events
    assert events["member_id"].n_unique() > 0.95 * TINY.members
    orders = events.filter(pl.col("kind") == "purchase").group_by("order_id")
    assert (
        orders.agg(pl.col("member_id").n_unique(), pl.col("occurred_at").n_unique())
        .select((pl.col("member_id") == 1).all() & (pl.col("occurred_at") == 1).all())
        .item()
    )
    again = events.group_by("member_id", "product_id").len()
    assert (again["len"] > 1).mean() > 0.1  # staples
