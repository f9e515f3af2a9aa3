"""What the catalogue says of products, and the coupons, in the order of the model's rows."""

import json
import re
from dataclasses import asdict, dataclass
from datetime import datetime

import numpy as np
import polars as pl

from recsys.artifact import Array
from recsys.columns import UNKNOWN, Attribute, Labels, Texts
from recsys.dataset import Dataset, listing
from recsys.dataset.tables import PRODUCTS
from recsys.filters import FIELD
from recsys.model import attributes_to_arrays, to_arrays
from recsys.search import Description
from training.shop import Shop


@dataclass(frozen=True, slots=True)
class Shelf:
    """The model's arrays, the manifest's `attributes`: the names of further columns, and what each
    product can be searched by."""

    arrays: dict[str, Array]
    attributes: list[str]
    described: list[Description]


def shelf(dataset: Dataset, shop: Shop, as_of: datetime | None) -> Shelf:
    """What the model says of products, and which coupons each counts for; `as_of` None is the
    present, when a row without `valid_from` says the price and the stock too."""
    rows = pl.DataFrame({"product_id": shop.product_ids}).join(
        dataset.known("products", as_of), on="product_id", how="left", maintain_order="left"
    )
    attributes = _attributes(rows)
    return Shelf(
        {
            **to_arrays("titles", Texts.build(rows["title"].fill_null("").to_list())),
            **to_arrays("categories", Labels.build(rows["category"].to_list())),
            **to_arrays("brands", Labels.build(rows["brand"].to_list())),
            **to_arrays("regions", Labels.build(_regions(rows["regions"]))),
            **attributes_to_arrays(attributes),
            "groups": Labels.build(rows["group_id"].to_list()).codes,
            "prices": rows["price"].cast(pl.Float64).fill_null(float("nan")).to_numpy(),
            "sellable": rows["in_stock"].fill_null(True).to_numpy(),
            **scopes(dataset, shop, rows),
        },
        list(attributes),
        [Description(*one) for one in rows.select(Description._fields).fill_null("").iter_rows()],
    )


def _regions(column: pl.Series) -> list[str | None]:
    """Each list once, whatever its order; an empty one is sold nowhere."""
    return [
        None if one is None else json.dumps(sorted(set(one) - {None})) for one in column.to_list()
    ]


def _attributes(rows: pl.DataFrame) -> dict[str, Attribute]:
    """The catalogue's further columns that a filter can name, as numbers, flags or texts."""
    found: dict[str, Attribute] = {}
    for name in sorted(set(rows.columns) - set(PRODUCTS.names)):
        column = rows[name]
        if not re.fullmatch(FIELD, name):
            continue
        if column.dtype == pl.Boolean:
            found[name] = column.cast(pl.Int8).fill_null(UNKNOWN).to_numpy()
        elif column.dtype.is_numeric():
            found[name] = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
        elif column.dtype.is_temporal():
            found[name] = Labels.build(column.dt.to_string("iso").to_list())
        elif column.dtype in (pl.String, pl.Categorical, pl.Enum):
            found[name] = Labels.build(column.cast(pl.String).to_list())
    return found


def coupons(dataset: Dataset) -> list[dict[str, object]]:
    """The manifest's `coupons`: one entry for each campaign a coupon stands in."""
    return [asdict(coupon) for coupon in listing.coupons_of(listed(dataset))]


def tiers(dataset: Dataset, shop: Shop, as_of: datetime | None) -> Labels:
    """Each member's tier; `as_of` as for `shelf`."""
    rows = pl.DataFrame({"member_id": shop.member_ids}, schema={"member_id": pl.String}).join(
        dataset.known("members", as_of), on="member_id", how="left", maintain_order="left"
    )
    return Labels.build(rows["tier"].to_list())


def listed(dataset: Dataset) -> pl.DataFrame:
    """See `listing.listed`."""
    tables = (dataset.read(name).lazy() for name in ("coupons", "campaign_coupons", "campaigns"))
    return listing.listed(*tables).collect()


def scopes(dataset: Dataset, shop: Shop, products: pl.DataFrame) -> dict[str, Array]:
    """For each product row, the rows of `coupons` whose scope has it."""
    entries = listed(dataset).select("coupon_id", "campaign_id").with_row_index("coupon")
    named_by = dataset.read("coupon_products").rename({"campaign_id": "scope_campaign"})
    joined = entries.join(named_by, on="coupon_id").filter(
        pl.col("scope_campaign").is_null() | (pl.col("scope_campaign") == pl.col("campaign_id"))
    )
    rows = products.with_row_index("product").select("product", "product_id", "category")
    named = joined.filter(pl.col("product_id").is_not_null()).join(
        rows.select("product", "product_id"), on="product_id"
    )
    levels = pl.col("category").str.split(" > ")
    above = rows.select("product", levels.alias("levels")).drop_nulls()
    paths = above.select(
        "product",
        pl.col("levels").list.eval(pl.element().cum_count()).alias("depth"),
        "levels",
    ).explode("depth")
    paths = paths.select(
        "product", pl.col("levels").list.head(pl.col("depth")).list.join(" > ").alias("category")
    )
    within = (
        joined.filter(pl.col("product_id").is_null()).drop("product_id").join(paths, on="category")
    )
    pairs = (
        pl.concat([named.select("product", "coupon"), within.select("product", "coupon")])
        .unique()
        .sort("product", "coupon")
    )
    counts = np.bincount(pairs["product"].to_numpy(), minlength=shop.n_products)
    return {
        "scope_offsets": np.concatenate(([0], np.cumsum(counts))),
        "scope_coupons": pairs["coupon"].cast(pl.Int32).to_numpy(),
    }
