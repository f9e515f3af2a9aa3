"""Codes and redemptions of coupons."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from campaigns.ledger.tables.columns import metadata, number, words

# Version 2. A coupon in `pool` is sent with one of its codes, or not at all.
pool = Table("pool", metadata, Column("coupon", Text, primary_key=True), number("opened_at"))

code = Table(
    "code",
    metadata,
    Column("code", Text, primary_key=True),
    words("coupon"),
    words("send_id", null=True),
    number("imported_at"),
    ForeignKeyConstraint(["coupon"], ["pool.coupon"], name="code_of_a_pool"),
    UniqueConstraint("send_id", name="code_for_one_send"),
    Index("code_by_coupon", "coupon", "send_id", "code"),
)

redemption = Table(
    "redemption",
    metadata,
    words("order_id"),
    words("coupon"),
    words("person"),
    words("send_id"),  # empty: the coupon was not sent to them
    words("campaign", null=True),
    words("code", null=True),
    number("discount"),
    number("at"),
    number("recorded_at"),
    number("reversed_at", null=True),
    Column("reserved", BigInteger, nullable=False, server_default=text("0")),
    PrimaryKeyConstraint("order_id", "coupon", name="redemption_by_order"),
    ForeignKeyConstraint(["code"], ["code.code"], name="redemption_of_a_code"),
    CheckConstraint("discount >= 0", name="discount_not_negative"),
    CheckConstraint("(send_id = '') = (campaign IS NULL)", name="redemption_of_a_campaign"),
    Index("one_live_redemption", "coupon", "person", "send_id", unique=True,
          sqlite_where=text("reversed_at IS NULL"), postgresql_where=text("reversed_at IS NULL")),
    Index("one_live_redemption_a_code", "code", unique=True,
          sqlite_where=text("reversed_at IS NULL"), postgresql_where=text("reversed_at IS NULL")),
    Index("redemption_by_person", "person"),
)  # fmt: skip
