from datetime import UTC, date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.dataset import TABLES, Checked, Part, check
from recsys.errors import DataError

EVENT: dict[str, Any] = {
    "product_id": "p",
    "kind": "purchase",
    "occurred_at": "2024-05-01T10:00:00Z",
    "member_id": "m",
    "event_id": "e",
    "quantity": "2",
    "amount": "3.50",
}
COUPON: dict[str, Any] = {
    "coupon_id": "c",
    "kind": "percent",
    "value": "20",
    "valid_from": "2024-01-01T00:00Z",
    "valid_until": "2024-02-01T00:00Z",
    "max_issues": "10",
}


def checked(table: str, *rows: dict[str, Any], timezone: str | None = None) -> Checked:
    names = list(dict.fromkeys(name for row in rows for name in row))
    frame = pl.DataFrame({name: [row.get(name) for row in rows] for name in names})
    part = Part(f"{table}.csv", frame.lazy())
    return check(TABLES[table], [part], timezone=timezone, max_rejects=1)


@pytest.mark.parametrize(
    ("table", "row", "column", "value", "rule"),
    [
        ("events", EVENT | {"quantity": "many"}, "quantity", "many", "not a number"),
        ("events", EVENT | {"quantity": "nan"}, "quantity", "nan", "not finite"),
        ("events", EVENT | {"amount": "inf"}, "amount", "inf", "not finite"),
        ("events", EVENT | {"quantity": "0"}, "quantity", "0", "zero, and a purchase"),
        ("events", EVENT | {"quantity": "-1"}, "quantity", "-1", "negative, and not a return"),
        ("events", EVENT | {"amount": "-0.01"}, "amount", "-0.01", "negative, and not a return"),
        ("events", EVENT | {"kind": "buy"}, "kind", "buy", "none of view, click"),
        ("events", EVENT | {"kind": None}, "kind", None, "missing"),
        ("events", EVENT | {"product_id": None}, "product_id", None, "missing, and not a search"),
        ("events", EVENT | {"product_id": " "}, "product_id", " ", "an empty id"),
        ("events", EVENT | {"member_id": ""}, "member_id", "", "an empty id"),
        ("events", EVENT | {"occurred_at": "soon"}, "occurred_at", "soon", "not an ISO 8601 time"),
        (
            "events",
            EVENT | {"occurred_at": "1970-01-01T00:00:00Z"},
            "occurred_at",
            "1970-01-01T00:00:00Z",
            "a year outside 1990–2100",
        ),
        ("coupons", COUPON | {"value": "101"}, "value", "101", "above 100 %"),
        ("coupons", COUPON | {"value": "-1"}, "value", "-1", "below 0"),
        ("coupons", COUPON | {"kind": "free"}, "kind", "free", "none of percent, amount"),
        ("coupons", COUPON | {"max_issues": "1.5"}, "max_issues", "1.5", "not a whole number"),
        (
            "coupons",
            COUPON | {"valid_until": "2023-12-31T00:00Z"},
            "valid_until",
            "2023-12-31T00:00Z",
            "before valid_from",
        ),
        ("coupon_products", {"coupon_id": "c"}, "product_id", None, "neither product_id nor"),
        ("products", {"product_id": "p", "in_stock": "maybe"}, "in_stock", "maybe", "not true"),
        ("products", {"product_id": "p", "price": "-1"}, "price", "-1", "below 0"),
        ("members", {"member_id": "m", "birthday": "1.2.90"}, "birthday", "1.2.90", "not a date"),
        ("members", {"member_id": "m", "timezone": "Mars/One"}, "timezone", "Mars/One", "not an I"),
        (
            "promotions",
            {
                "product_id": "p",
                "starts_at": "2024-01-01T00:00Z",
                "ends_at": "2024-01-08T00:00Z",
                "share": "1.2",
            },
            "share",
            "1.2",
            "above 1",
        ),
        (
            "impressions",
            {
                "request_id": "r",
                "member_id": "m",
                "placement": "home",
                "product_ids": '["a"',
                "shown_at": "2024-01-01T00:00Z",
            },
            "product_ids",
            '["a"',
            "not a list",
        ),
    ],
)
def test_a_bad_row_is_set_aside_with_its_place_value_and_rule(
    table: str, row: dict[str, Any], column: str, value: str | None, rule: str
) -> None:
    result = checked(table, row)
    assert result.good.is_empty()
    assert result.rejects.height == 1
    reject = result.rejects.row(0, named=True)
    assert reject["rule"].startswith(rule)
    expected = {"table": table, "file": f"{table}.csv", "row": 1, "column": column, "value": value}
    assert reject | expected == reject


@pytest.mark.parametrize(
    "row",
    [
        EVENT,
        EVENT | {"amount": "0"},
        EVENT | {"quantity": None, "member_id": None},
        EVENT | {"kind": "search", "product_id": None, "quantity": None},
        EVENT | {"kind": "view", "quantity": "0"},
    ],
)
def test_what_the_rules_allow_stays(row: dict[str, Any]) -> None:
    assert checked("events", row).good.height == 1


def test_a_return_counts_what_came_back_whatever_its_sign_in_the_file() -> None:
    rows = [
        EVENT | {"kind": "return", "event_id": sign, "quantity": f"{sign}2", "amount": f"{sign}7"}
        for sign in ("-", "+")
    ]
    good = checked("events", *rows).good
    assert good["quantity"].to_list() == [2, 2]
    assert good["amount"].to_list() == [7, 7]


def test_of_two_rows_with_one_event_id_the_first_good_one_stays() -> None:
    rows = [EVENT | {"kind": kind, "quantity": None} for kind in ("nonsense", "view", "click")]
    result = checked("events", *rows)
    assert result.good["kind"].to_list() == ["view"]
    assert result.rejects.select("row", "rule").sort("row").rows()[1] == (
        3,
        "a row with this event_id came before",
    )


def test_events_without_an_id_are_never_duplicates() -> None:
    assert checked("events", *[EVENT | {"event_id": None}] * 3).good.height == 3


def test_a_repeated_event_in_a_later_part_names_that_part_and_its_own_row() -> None:
    first = pl.DataFrame([EVENT | {"event_id": "a"}, EVENT | {"event_id": "b"}])
    later = pl.DataFrame([EVENT | {"event_id": "c"}, EVENT | {"event_id": "a"}])
    parts = [Part("events/1.csv", first.lazy()), Part("events/2.csv", later.lazy())]
    result = check(TABLES["events"], parts, max_rejects=1)
    assert result.good["event_id"].to_list() == ["a", "b", "c"]
    assert result.rejects.select("file", "row", "value").row(0) == ("events/2.csv", 2, "a")


def test_a_product_may_stand_once_for_each_valid_from() -> None:
    rows = [
        {"product_id": "p", "price": price, "valid_from": day}
        for price, day in [("1", None), ("2", "2024-01-01T00:00Z"), ("3", "2024-01-01T00:00Z")]
    ]
    assert checked("products", *rows).good["price"].to_list() == [1, 2]


def test_too_many_bad_rows_stop_with_the_reasons_and_the_mend() -> None:
    rows = [EVENT | {"event_id": str(n), "amount": "x" if n % 20 == 7 else "1"} for n in range(100)]
    part = Part("events.csv", pl.DataFrame(rows).lazy())
    with pytest.raises(DataError) as raised:
        check(TABLES["events"], [part])
    message = str(raised.value)
    assert "events.csv: 5 of 100 rows are bad, more than 1.00%" in message
    assert "amount: not a number (5, first 'x' in row 8)" in message
    assert "--max-rejects 0.051" in message
    assert check(TABLES["events"], [part], max_rejects=0.05).good.height == 95


def test_a_missing_column_is_named_with_what_is_there_and_the_nearest() -> None:
    row = {("ocurred_at" if name == "occurred_at" else name): EVENT[name] for name in EVENT}
    with pytest.raises(DataError) as raised:
        checked("events", row)
    message = str(raised.value)
    assert "events.csv: column occurred_at is missing" in message
    assert "there is product_id, kind, ocurred_at" in message
    assert "Rename ocurred_at to occurred_at" in message


def test_a_time_without_a_zone_stops_however_few_there_are() -> None:
    naive = EVENT | {"event_id": "n", "occurred_at": "2024-05-01 10:00"}
    with pytest.raises(DataError, match=r"row 2: occurred_at '2024-05-01 10:00'.*--timezone"):
        checked("events", EVENT, naive)
    assert checked("events", EVENT, naive, timezone="Asia/Tokyo").good["occurred_at"][1] == (
        datetime(2024, 5, 1, 1, tzinfo=UTC)
    )


def test_a_column_of_a_wrong_type_is_named_with_its_type() -> None:
    with pytest.raises(DataError, match="occurred_at holds Int64, which is not an ISO 8601 time"):
        checked("events", EVENT | {"occurred_at": 1714557600})


def test_other_columns_stay_for_members_and_go_for_events() -> None:
    assert "colour" in checked("members", {"member_id": "m", "colour": "red"}).good.columns
    assert "colour" not in checked("events", EVENT | {"colour": "red"}).good.columns


CELLS = st.sampled_from(
    ["", " ", "1", "-3", "nan", "1e400", "x", "0", "2024-01-01T00:00Z", "view", "purchase", None]
)
GOOD = st.fixed_dictionaries(
    {
        "product_id": st.text("abc", min_size=1, max_size=3),
        "kind": st.sampled_from(["view", "purchase", "return"]),
        "occurred_at": st.dates(date(1990, 1, 1), date(2100, 12, 31)).map(lambda d: f"{d} 06:30Z"),
        "event_id": st.none(),
        "quantity": st.sampled_from(["1", "2.5", None]),
        "amount": st.floats(0, 1e9).map(str),
    }
)
ANY = st.fixed_dictionaries(
    dict.fromkeys(("product_id", "kind", "occurred_at", "quantity", "amount"), CELLS)
    | {"event_id": st.sampled_from(["a", "b", None])}
)


@given(st.lists(GOOD | ANY, min_size=1, max_size=12))
def test_rows_in_are_good_or_rejected_and_never_both(rows: list[dict[str, Any]]) -> None:
    frame = pl.DataFrame(rows, schema=dict.fromkeys(rows[0], pl.String))
    result = check(
        TABLES["events"], [Part("e", frame.lazy())], timezone="Europe/Berlin", max_rejects=1
    )
    assert result.good.height + result.rejects.height == len(rows)
    assert result.rejects["row"].n_unique() == result.rejects.height
    bad = set(result.rejects["row"])
    kept = [row["product_id"] for number, row in enumerate(rows, 1) if number not in bad]
    assert result.good["product_id"].to_list() == kept


@given(st.lists(GOOD, min_size=1, max_size=12))
def test_good_rows_are_never_set_aside(rows: list[dict[str, Any]]) -> None:
    result = checked("events", *rows)
    assert result.rejects.is_empty()
    assert result.good["amount"].to_list() == [float(row["amount"]) for row in rows]
