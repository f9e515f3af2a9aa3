from datetime import UTC, datetime
from typing import Any

import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from recsys.dataset.known import known

DAYS = st.integers(1, 28).map(lambda day: datetime(2024, 1, day, tzinfo=UTC))
ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "product_id": st.sampled_from(["a", "b", "c"]),
            "brand": st.sampled_from([None, "x", "y"]),
            "price": st.sampled_from([None, 1.0, 2.0]),
            "valid_from": st.none() | DAYS,
        }
    ),
    max_size=8,
    unique_by=lambda row: (row["product_id"], row["valid_from"]),
)
SCHEMA = {
    "product_id": pl.String,
    "brand": pl.String,
    "price": pl.Float64,
    "valid_from": pl.Datetime("us", "UTC"),
}


def at(rows: list[dict[str, Any]], as_of: datetime | None) -> dict[str, dict[str, Any]]:
    frame = pl.DataFrame(rows, schema=SCHEMA)
    result = known(frame, key="product_id", static=frozenset({"brand"}), as_of=as_of)
    return {row["product_id"]: row for row in result.iter_rows(named=True)}


@given(ROWS, DAYS)
def test_each_value_is_the_latest_one_known_before(
    rows: list[dict[str, Any]], as_of: datetime
) -> None:
    expected: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: row["valid_from"] or datetime.min.replace(tzinfo=UTC)):
        if row["valid_from"] is not None and row["valid_from"] >= as_of:
            continue
        was = expected.setdefault(row["product_id"], {"brand": None, "price": None})
        was["brand"] = row["brand"] or was["brand"]
        if row["valid_from"] is not None:  # an undated price may be of yesterday or of next year
            was["price"] = row["price"] or was["price"]
    found = at(rows, as_of)
    assert {
        key: {"brand": row["brand"], "price": row["price"]} for key, row in found.items()
    } == expected


@given(ROWS, ROWS, DAYS)
def test_rows_from_the_instant_on_change_nothing(
    rows: list[dict[str, Any]], later: list[dict[str, Any]], as_of: datetime
) -> None:
    before = [row for row in rows if row["valid_from"] is None or row["valid_from"] < as_of]
    after = [row for row in later if row["valid_from"] is not None and row["valid_from"] >= as_of]
    assert at(before + after, as_of) == at(before, as_of)


def test_the_present_also_takes_undated_values() -> None:
    row = {"product_id": "a", "brand": "x", "price": 2.0, "valid_from": None}
    assert at([row], None)["a"]["price"] == 2.0
    assert at([row], datetime(2030, 1, 1, tzinfo=UTC))["a"]["price"] is None
