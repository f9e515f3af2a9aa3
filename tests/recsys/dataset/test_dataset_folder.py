import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recsys.dataset import TABLES, Dataset
from recsys.errors import DataError

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)


def events(*ids: str, **columns: Any) -> pl.DataFrame:
    return pl.DataFrame(
        {"event_id": ids, "product_id": "p", "kind": "view", "occurred_at": NOON} | columns,
        schema_overrides={"event_id": pl.String},
    )


def write(frame: pl.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    frame.write_parquet(path)


def test_a_table_is_its_file_and_its_parts_together(tmp_path: Path) -> None:
    write(events("a"), tmp_path / "events.parquet")
    write(events("c"), tmp_path / "events" / "2.parquet")
    write(events("b"), tmp_path / "events" / "1.parquet")
    write(events("x"), tmp_path / "events" / ".3.parquet")
    (tmp_path / "events" / "4.parquet.tmp").write_bytes(b"half")
    dataset = Dataset(tmp_path)
    assert dataset.read("events")["event_id"].to_list() == ["a", "b", "c"]
    assert dataset.scan("events").collect()["event_id"].to_list() == ["a", "b", "c"]
    assert [path for path, _ in dataset.parts()] == [
        "events.parquet",
        "events/1.parquet",
        "events/2.parquet",
    ]
    assert all(size == (tmp_path / path).stat().st_size for path, size in dataset.parts())


def test_missing_optional_columns_are_null_and_ids_are_text(tmp_path: Path) -> None:
    write(events("a", product_id=7, noise=1), tmp_path / "events.parquet")
    for frame in (Dataset(tmp_path).scan("events").collect(), Dataset(tmp_path).read("events")):
        assert frame.schema == TABLES["events"].schema
        assert frame["product_id"].to_list() == ["7"]
        assert frame["quantity"].to_list() == [None]


def test_parts_may_differ_in_their_columns(tmp_path: Path) -> None:
    write(events("a", amount=2), tmp_path / "events" / "1.parquet")
    write(events("b", query="tea"), tmp_path / "events" / "2.parquet")
    assert Dataset(tmp_path).read("events").select("amount", "query").rows() == [
        (2.0, None),
        (None, "tea"),
    ]


def test_members_keep_attributes_that_nobody_declared(tmp_path: Path) -> None:
    write(pl.DataFrame({"member_id": ["m"], "pets": [2]}), tmp_path / "members.parquet")
    assert Dataset(tmp_path).scan("members").select("pets").collect().item() == 2
    assert Dataset(tmp_path).read("members")["pets"].to_list() == [2]


def test_an_absent_optional_table_has_no_rows_and_all_columns(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path)
    assert not dataset.has("coupons")
    assert dataset.scan("coupons").collect().schema == TABLES["coupons"].schema
    assert dataset.read("coupons").is_empty()


def test_absent_or_empty_events_stop_with_the_mend(tmp_path: Path) -> None:
    dataset = Dataset(tmp_path)
    with pytest.raises(DataError, match=r"no events\.parquet.*guesslike import"):
        dataset.scan("events")
    with pytest.raises(DataError, match=r"no events\.parquet"):
        dataset.read("events")
    write(events("a").clear(), tmp_path / "events.parquet")
    with pytest.raises(DataError, match="no rows"):
        dataset.read("events")


def test_bad_rows_are_left_out_and_counted(tmp_path: Path) -> None:
    frame = events(*map(str, range(200)), quantity=pl.Series([float("nan")] + [1.0] * 199))
    write(frame, tmp_path / "events.parquet")
    dataset = Dataset(tmp_path)
    assert dataset.read("events").height == 199
    assert dataset.rejected == {"events": 1}
    with pytest.raises(DataError, match=r"1 of 200 rows .* quantity: not finite"):
        Dataset(tmp_path, max_rejects=0).read("events")


def test_naive_times_stop_unless_an_import_wrote_the_dataset(tmp_path: Path) -> None:
    write(events("a", occurred_at=NOON.replace(tzinfo=None)), tmp_path / "events.parquet")
    with pytest.raises(DataError, match=r"events\.parquet: the times in occurred_at .*--timezone"):
        Dataset(tmp_path).scan("events")
    (tmp_path / "dataset.json").write_text(json.dumps({"format": 1}))
    assert Dataset(tmp_path).read("events")["occurred_at"].to_list() == [NOON]


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "events.parquet").write_bytes(b"PAR1 and then nothing of the kind")
    with pytest.raises(DataError, match=r"events\.parquet cannot be read"):
        Dataset(tmp_path).scan("events")
    with pytest.raises(DataError, match=r"events\.parquet cannot be read"):
        Dataset(tmp_path).read("events")


def test_feed_sequences_are_the_last_of_each_shard(tmp_path: Path) -> None:
    for name in ("feed-0-1-9", "feed-0-10-12", "feed-3-1-2", "feed-x-1-2", "import-0000"):
        write(events(name), tmp_path / "events" / f"{name}.parquet")
    assert Dataset(tmp_path).feed_sequences() == {0: 12, 3: 2}


def test_known_products_use_the_static_columns_that_the_import_named(tmp_path: Path) -> None:
    frame = pl.DataFrame({"product_id": ["p"], "brand": ["b"], "size": ["L"], "colour": ["red"]})
    write(frame, tmp_path / "products.parquet")
    (tmp_path / "dataset.json").write_text(json.dumps({"static": {"products": ["size"]}}))
    rows = Dataset(tmp_path).known("products", NOON)
    assert rows.select("brand", "size", "colour").rows() == [("b", "L", None)]


def test_a_filter_on_time_reaches_the_file(tmp_path: Path) -> None:
    write(events("a"), tmp_path / "events.parquet")
    plan = Dataset(tmp_path).scan("events").filter(pl.col("occurred_at") < NOON).explain()
    assert 'SELECTION: col("occurred_at") <' in plan.partition("Parquet SCAN")[2]
