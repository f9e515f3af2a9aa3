"""The tables of a dataset, as data: columns, their types, and the rules a row must keep.

Ids are text. Times are UTC. Intervals are half-open: `starts_at` is in, `ends_at` is out.
Rows of products and members may stand more than once, each with its `valid_from`. A promotion
without `known_from` was known when it started.
"""

from dataclasses import dataclass

import polars as pl

TEXT = pl.String()
NUMBER = pl.Float64()
WHOLE = pl.Int64()
FLAG = pl.Boolean()
DAY = pl.Date()
TIME = pl.Datetime("us", "UTC")
TEXTS = pl.List(pl.String())
NUMBERS = pl.List(pl.Float64())

EVENT_KINDS = ("view", "click", "search", "add_to_cart", "purchase", "return")
COUPON_KINDS = ("percent", "amount", "shipping", "gift")


@dataclass(frozen=True, slots=True)
class Column:
    """One column: its type, and what a single value may be."""

    name: str
    dtype: pl.DataType = TEXT
    required: bool = False
    allowed: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None
    ends: bool = False
    """ends an interval: a date without a time means the whole of that day"""
    static: bool = False
    """hardly ever changes, so a row without `valid_from` serves it at any instant"""
    zone: bool = False
    """names an IANA time zone"""
    returnable: bool = False
    """counts what came back where the kind is `return`: exports differ in its sign, we keep none"""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a row must not do, over several of its columns; `column` is the one to blame."""

    column: str
    text: str
    broken: pl.Expr


@dataclass(frozen=True, slots=True)
class Table:
    """A table by name. Of rows that agree in `unique`, the first one stays."""

    name: str
    columns: tuple[Column, ...]
    rules: tuple[Rule, ...] = ()
    unique: tuple[str, ...] = ()
    extras: bool = False
    """keeps columns that are not declared: a member's or product's further attributes"""

    @property
    def names(self) -> tuple[str, ...]:
        """The declared columns, in order."""
        return tuple(column.name for column in self.columns)

    @property
    def schema(self) -> pl.Schema:
        """The declared columns and their types."""
        return pl.Schema({column.name: column.dtype for column in self.columns})

    @property
    def static(self) -> frozenset[str]:
        """The columns that a row without `valid_from` serves at any instant."""
        return frozenset(column.name for column in self.columns if column.static)


def _needs(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, required=True) for name in names)


def _texts(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name) for name in names)


def _at(name: str, *, required: bool = False, ends: bool = False) -> Column:
    return Column(name, TIME, required=required, ends=ends)


def _ends_before_it_starts(start: str, end: str) -> Rule:
    return Rule(end, f"before {start}", pl.col(end) < pl.col(start))


def _names_neither(one: str, other: str) -> Rule:
    return Rule(one, f"neither {one} nor {other}", pl.col(one).is_null() & pl.col(other).is_null())


def _negative(column: str) -> Rule:
    return Rule(column, "negative, and not a return", pl.col(column) < 0)


EVENTS = Table(
    "events",
    (
        Column("product_id"),
        Column("kind", required=True, allowed=EVENT_KINDS),
        _at("occurred_at", required=True),
        *_texts("member_id", "visitor_id", "event_id", "order_id"),
        Column("quantity", NUMBER, returnable=True),
        Column("amount", NUMBER, returnable=True),
        *_texts("query", "session_id", "placement", "request_id"),
    ),
    rules=(
        Rule(
            "product_id",
            "missing, and not a search",
            pl.col("product_id").is_null() & (pl.col("kind") != "search"),
        ),
        Rule(
            "quantity",
            "zero, and a purchase (leave it empty if unknown)",
            (pl.col("quantity") == 0) & (pl.col("kind") == "purchase"),
        ),
        _negative("quantity"),
        _negative("amount"),
    ),
    unique=("event_id",),
)

IDENTITIES = Table("identities", (*_needs("visitor_id", "member_id"), _at("at", required=True)))

ERASURES = Table("erasures", (*_needs("member_hash"), _at("until", required=True)))

PRODUCTS = Table(
    "products",
    (
        *_needs("product_id"),
        Column("title", static=True),
        Column("category", static=True),
        Column("brand", static=True),
        Column("price", NUMBER, minimum=0),
        Column("margin", NUMBER),
        Column("in_stock", FLAG),
        Column("launched_at", TIME, static=True),
        Column("image_url", static=True),
        Column("group_id", static=True),
        Column("regions", TEXTS),
        _at("valid_from"),
    ),
    unique=("product_id", "valid_from"),
    extras=True,
)

MEMBERS = Table(
    "members",
    (
        *_needs("member_id"),
        Column("joined_at", TIME, static=True),
        Column("birthday", DAY, static=True),
        Column("region", static=True),
        Column("gender", static=True),
        Column("age_band", static=True),
        Column("tier"),
        Column("language", static=True),
        Column("timezone", static=True, zone=True),
        _at("valid_from"),
    ),
    unique=("member_id", "valid_from"),
    extras=True,
)

COUPONS = Table(
    "coupons",
    (
        *_needs("coupon_id"),
        Column("title"),
        Column("kind", allowed=COUPON_KINDS),
        Column("value", NUMBER, minimum=0),
        Column("max_discount", NUMBER, minimum=0),
        Column("min_spend", NUMBER, minimum=0),
        Column("min_quantity", NUMBER, minimum=1),
        _at("valid_from"),
        _at("valid_until", ends=True),
        Column("cost", NUMBER, minimum=0),
        Column("max_issues", WHOLE, minimum=0),
        Column("max_redemptions", WHOLE, minimum=0),
        Column("tiers", TEXTS),
    ),
    rules=(
        Rule("value", "above 100 %", (pl.col("kind") == "percent") & (pl.col("value") > 100)),
        _ends_before_it_starts("valid_from", "valid_until"),
    ),
    unique=("coupon_id",),
)

COUPON_PRODUCTS = Table(
    "coupon_products",
    (*_needs("coupon_id"), *_texts("product_id", "category", "campaign_id")),
    rules=(_names_neither("product_id", "category"),),
)

CAMPAIGNS = Table(
    "campaigns",
    (
        *_needs("campaign_id"),
        _at("starts_at", required=True),
        _at("ends_at", required=True, ends=True),
        Column("kind"),
    ),
    rules=(_ends_before_it_starts("starts_at", "ends_at"),),
    unique=("campaign_id",),
)

CAMPAIGN_COUPONS = Table(
    "campaign_coupons",
    _needs("campaign_id", "coupon_id"),
    unique=("campaign_id", "coupon_id"),
)

PUSHES = Table(
    "pushes",
    (
        *_needs("member_id", "campaign_id"),
        _at("sent_at", required=True),
        *_texts("coupon_id", "channel"),
    ),
)

REDEMPTIONS = Table(
    "redemptions",
    (
        *_needs("member_id", "coupon_id"),
        _at("redeemed_at", required=True),
        *_texts("campaign_id", "order_id"),
    ),
)

ARMS = Table(
    "arms",
    (
        *_needs("member_id", "campaign_id"),
        _at("at", required=True),
        Column("arm", required=True, allowed=("treat", "holdout")),
        Column("share", NUMBER, required=True, minimum=0, maximum=1),
        Column("coupon_id"),
        Column("epoch", WHOLE),
        Column("sent", FLAG),
    ),
)
"""pushes that a draw decided on: `share` of the members are held out, as long as `epoch` lasts"""

PROMOTIONS = Table(
    "promotions",
    (
        *_needs("product_id"),
        _at("starts_at", required=True),
        _at("ends_at", required=True, ends=True),
        Column("share", NUMBER, minimum=0, maximum=1),
        Column("kind"),
        _at("known_from"),
    ),
    rules=(_ends_before_it_starts("starts_at", "ends_at"),),
)

IMPRESSIONS = Table(
    "impressions",
    (
        *_needs("request_id"),
        *_texts("member_id", "visitor_id"),
        Column("placement", required=True),
        Column("product_ids", TEXTS, required=True),
        _at("shown_at", required=True),
        *_texts("model_version", "variant"),
        Column("propensities", NUMBERS),
    ),
    rules=(_names_neither("member_id", "visitor_id"),),
)

TABLES = {
    table.name: table
    for table in (
        EVENTS,
        IDENTITIES,
        ERASURES,
        PRODUCTS,
        MEMBERS,
        COUPONS,
        COUPON_PRODUCTS,
        CAMPAIGNS,
        CAMPAIGN_COUPONS,
        PUSHES,
        REDEMPTIONS,
        ARMS,
        PROMOTIONS,
        IMPRESSIONS,
    )
}
