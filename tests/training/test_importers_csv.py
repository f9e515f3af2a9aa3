from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from recsys.dataset import Dataset
from recsys.errors import DataError
from training.importers import ImportReport, import_csv

HEADER = "event_id,product_id,kind,occurred_at,member_id,quantity\n"
ROW = "e1,p1,purchase,2024-05-01T10:00:00Z,m1,2\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def run(
    folder: Path, *, timezone: str | None = None, max_rejects: float = 0.01
) -> tuple[ImportReport, Dataset]:
    report = import_csv(folder, folder.parent / "out", timezone=timezone, max_rejects=max_rejects)
    return report, Dataset(report.out)


def refusal(folder: Path, *, timezone: str | None = None) -> str:
    """The message of an import that must stop and leave nothing."""
    with pytest.raises(DataError) as raised:
        run(folder, timezone=timezone)
    assert [path.name for path in folder.parent.iterdir()] == ["in"]
    return str(raised.value)


def test_every_kind_of_cell_arrives(folder: Path) -> None:
    (folder / "events.csv").write_text("\ufeff" + HEADER + ROW, encoding="utf-8")
    (folder / "products.csv").write_text(
        "product_id,title,price,in_stock,regions,weight,shelf\n"
        'p1,"Tea, green",2.50,yes,"[""north"",""south""]",0.5,007\n'
        "p2,Milk,,NO,north|south,1,12\n"
    )
    (folder / "coupons.csv").write_text(
        "coupon_id,kind,value,valid_until\nc,percent,10,2024-05-31\n"
    )
    (folder / "members.csv").write_text("member_id,birthday,pets\nm1,1990-12-31,\n")
    report, dataset = run(folder, timezone="Europe/Berlin")
    assert {table.table: table.rows for table in report.tables} == {
        "events": 1,
        "products": 2,
        "members": 1,
        "coupons": 1,
    }
    assert report.notes == ()
    event = dataset.read("events").row(0, named=True)
    assert event["occurred_at"] == datetime(2024, 5, 1, 10, tzinfo=UTC)
    assert (event["product_id"], event["quantity"], event["amount"]) == ("p1", 2.0, None)
    products = dataset.read("products")
    assert products.select("title", "price", "in_stock", "weight", "shelf").rows() == [
        ("Tea, green", 2.5, True, 0.5, "007"),
        ("Milk", None, False, 1.0, "12"),
    ]
    assert products["regions"].to_list() == [["north", "south"]] * 2
    until = dataset.read("coupons")["valid_until"].item()
    assert until == datetime(2024, 5, 31, 22, tzinfo=UTC)
    assert str(dataset.read("members")["birthday"].item()) == "1990-12-31"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_seen_from_the_header(folder: Path, separator: str) -> None:
    (folder / "events.csv").write_text((HEADER + ROW).replace(",", separator))
    assert run(folder)[1].read("events").height == 1


def test_cells_are_trimmed_and_quoted_nothing_is_nothing(folder: Path) -> None:
    (folder / "events.csv").write_text(
        "event_id , product_id,kind,occurred_at,member_id,\n"
        'e1 , p1,"view", 2024-05-01T10:00Z,"",\n\n'
        "\n"
    )
    report, dataset = run(folder)
    assert report.rejects == 0
    event = dataset.read("events").row(0, named=True)
    assert (event["event_id"], event["product_id"], event["member_id"]) == ("e1", "p1", None)


def test_bad_rows_are_set_aside_under_their_number_in_the_file(folder: Path) -> None:
    lines = [f"e{n},p,view,2024-05-01T10:00Z,m,1\n" for n in range(1, 1001)]
    lines[4] = "e5,p,view,2024-05-01T10:00Z,m,one\n"
    lines[6] = "e7,p,view,2024-05-01T10:00Z,m,1,more\n"
    lines[8] = "e1,p,view,2024-05-01T10:00Z,m,1\n"
    lines[10] = "\n"  # no row, but it counts
    lines[12] = "e13,p,peek,2024-05-01T10:00Z,m,1\n"
    (folder / "events.csv").write_text(HEADER + "".join(lines))
    report, dataset = run(folder)
    rejects = pl.read_parquet(dataset.path / "rejects.parquet").sort("row")
    assert rejects.select("table", "file").unique().rows() == [("events", "events.csv")]
    assert rejects.select("row", "column", "value").rows() == [
        (5, "quantity", "one"),
        (7, "overflow", "more"),
        (9, "event_id", "e1"),
        (13, "kind", "peek"),
    ]
    assert (report.rows, report.rejects) == (995, 4)
    assert sum(count for _, _, count in report.tables[0].reasons) == 4
    assert dataset.read("events").height == 995


def test_a_table_may_come_in_parts_and_in_parquet(folder: Path) -> None:
    (folder / "events").mkdir()
    (folder / "events" / "may.csv").write_text(HEADER + ROW)
    at = datetime(2024, 6, 1, tzinfo=UTC)
    frame = pl.DataFrame({"product_id": [7], "kind": ["view"], "occurred_at": [at]})
    frame.write_parquet(folder / "events" / "june.parquet")
    events = run(folder)[1].read("events")
    assert sorted(events["product_id"]) == ["7", "p1"]


def test_a_naive_parquet_time_is_read_in_the_zone(folder: Path) -> None:
    at = datetime.fromisoformat("2024-06-01T09:00")
    frame = pl.DataFrame({"product_id": ["p"], "kind": ["view"], "occurred_at": [at]})
    frame.write_parquet(folder / "events.parquet")
    assert "--timezone" in refusal(folder)
    events = run(folder, timezone="Asia/Tokyo")[1].read("events")
    assert events["occurred_at"].item() == datetime(2024, 6, 1, tzinfo=UTC)


def test_a_skipped_hour_is_a_bad_row_and_a_repeated_one_is_the_first(folder: Path) -> None:
    rows = [
        f"{n},p,view,{at},m,1\n" for n, at in enumerate(("2024-03-31 02:30", "2024-10-27 02:30"))
    ]
    (folder / "events.csv").write_text(HEADER + "".join(rows))
    report, dataset = run(folder, timezone="Europe/Berlin", max_rejects=0.5)
    assert dataset.read("events")["occurred_at"].to_list() == [
        datetime(2024, 10, 27, 0, 30, tzinfo=UTC)
    ]
    assert report.tables[0].reasons == (
        ("occurred_at", "not an ISO 8601 time, or one that Europe/Berlin skips", 1),
    )


def test_what_is_not_used_is_named(folder: Path) -> None:
    (folder / "events.csv").write_text(
        "product_id,kind,occurred_at,menber_id\np,view,2024-05-01T10:00Z,m\n"
    )
    (folder / "product.csv").write_text("x\n")
    (folder / "notes.txt").write_text("x\n")
    assert run(folder)[0].notes == (
        "notes.txt is not used: no table has that name.",
        "product.csv is not used: no table has that name (nearest: products.csv).",
        "events.csv: column menber_id is not used (nearest: member_id).",
    )


def test_a_naive_time_asks_for_the_zone(folder: Path) -> None:
    (folder / "events.csv").write_text(HEADER + ROW.replace("Z", ""))
    message = refusal(folder)
    assert "events.csv, row 1: occurred_at '2024-05-01T10:00:00'" in message
    assert "--timezone" in message


def test_an_unknown_zone_names_the_nearest(folder: Path) -> None:
    (folder / "events.csv").write_text(HEADER + ROW)
    assert "(nearest: Europe/Berlin)" in refusal(folder, timezone="Europe/Berlni")


def test_absent_events_name_what_is_there(folder: Path) -> None:
    (folder / "event.csv").write_text(HEADER + ROW)
    assert "no events.csv" in refusal(folder)
    assert "there is event.csv" in refusal(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "events.csv is empty"),
        (HEADER.encode(), "events.csv: there is no event to learn from"),
        (HEADER.replace("kind", "kinds").encode() + ROW.encode(), "Rename kinds to kind"),
        (HEADER.replace("event_id", "kind").encode() + ROW.encode(), "'kind' stands twice"),
        (b"product_id,kind,occurred_at\n\xff,view,2024-05-01T10:00Z\n", "events.csv is not UTF-8"),
        (HEADER.encode("utf-16"), "events.csv is not UTF-8"),
        (
            (HEADER + ROW * 20_000).encode() + b"\xff,\xff,view,2024-05-01T10:00Z,m,1\n",
            "events.csv cannot be read: invalid utf-8",
        ),
        ((HEADER + '"e1,p1' + ROW * 3).encode(), "events.csv cannot be read"),
        ((HEADER + ROW + "e2,p,buy,2024-05-01T10:00Z,m,1\n").encode(), "1 of 2 rows are bad"),
    ],
)
def test_an_unusable_file_is_named_and_leaves_nothing(
    folder: Path, content: bytes, message: str
) -> None:
    (folder / "events.csv").write_bytes(content)
    assert message in refusal(folder)


def test_a_bad_table_after_good_ones_leaves_nothing(folder: Path) -> None:
    (folder / "events.csv").write_text(HEADER + ROW)
    (folder / "pushes.csv").write_text("member_id,campaign_id\nm,c\n")
    assert "pushes.csv: column sent_at is missing" in refusal(folder)


def test_a_broken_parquet_file_is_named(folder: Path) -> None:
    (folder / "events.parquet").write_bytes(b"PAR1 and then nothing of the kind")
    assert "events.parquet cannot be read" in refusal(folder)


def test_folders_that_cannot_be_meant_are_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        import_csv(folder / "none", folder.parent / "out")
    (folder / "events.csv").write_text(HEADER + ROW)
    with pytest.raises(DataError, match="holds the files to import"):
        import_csv(folder, folder)
    with pytest.raises(DataError, match="max-rejects is a share from 0 to 1, not 5"):
        run(folder, max_rejects=5)
