"""The ledger's tables. Every promise that a constraint can hold is held by one."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from campaigns.instants import WEEK

SCHEMA_VERSION = 2

metadata = MetaData()
_Serial = BigInteger().with_variant(Integer, "sqlite")


def _text(name: str, *, null: bool = False) -> Column[str]:
    return Column(name, Text, nullable=null)


def _number(name: str, *, null: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=null)


meta = Table("meta", metadata, Column("name", Text, primary_key=True), _text("value"))

gate = Table(
    "gate",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    _text("epoch"),
    _number("hi"),
    _number("closed_until"),
    CheckConstraint("id = 1", name="one_gate"),
)

purse = Table(
    "purse",
    metadata,
    Column("purse", Text, primary_key=True),
    Column("live", Integer, nullable=False),
    _number("used"),
    _number("cap"),
    CheckConstraint("used >= 0", name="purse_not_negative"),
    CheckConstraint("used <= cap", name="purse_not_overspent"),
)

plan = Table(
    "plan",
    metadata,
    Column("plan_id", Text, primary_key=True),
    _text("occasion"),
    _text("campaign"),
    _text("state"),
    _number("planned_rows"),
    _number("registered_at"),
    CheckConstraint("state IN ('live', 'done', 'replaced')", name="plan_state"),
    Index("one_live_plan", "occasion", unique=True, sqlite_where=text("state = 'live'"),
          postgresql_where=text("state = 'live'")),
)  # fmt: skip


def _link(
    unit: str, prefix: str
) -> list[CheckConstraint | UniqueConstraint | ForeignKeyConstraint]:
    """One chain: each push names the one before it, and starts a week after that one's end."""
    before = f"{prefix}prev_until"
    return [
        UniqueConstraint(unit, f"{prefix}seq", name=f"{unit}_chain"),
        UniqueConstraint(unit, f"{prefix}seq", "until", name=f"{unit}_link"),
        CheckConstraint(f"{prefix}seq >= 1", name=f"{unit}_from_one"),
        CheckConstraint(f"({prefix}prev IS NULL) = ({before} IS NULL)", name=f"{unit}_link_whole"),
        CheckConstraint(
            f"state = 'carry' OR {before} IS NULL OR at - {before} >= {WEEK}", name=f"{unit}_week"
        ),
        ForeignKeyConstraint(
            [unit, f"{prefix}prev", before],
            [f"send.{unit}", f"send.{prefix}seq", "send.until"],
            name=f"{unit}_before",
        ),
    ]


def _previous(prefix: str) -> Column[int]:
    number = Computed(f"NULLIF({prefix}seq, 1) - 1", persisted=True)
    return Column(f"{prefix}prev", Integer, number)


send = Table(
    "send",
    metadata,
    _text("send_id"),
    Column("try", Integer, nullable=False),
    _text("plan_id"),
    _text("occasion"),
    _text("campaign"),
    _text("coupon", null=True),
    _text("channel"),
    _text("person"),
    _text("contact"),
    Column("ghost", Integer, nullable=False),
    _number("cost"),
    _text("state"),
    _number("at"),
    _number("until"),
    Column("calls", Integer, nullable=False, server_default=text("1")),
    Column("pseq", Integer),
    _previous("p"),
    _number("pprev_until", null=True),
    Column("cseq", Integer),
    _previous("c"),
    _number("cprev_until", null=True),
    PrimaryKeyConstraint("send_id", "try"),
    CheckConstraint(
        "state IN ('attempting', 'unknown', 'accepted', 'refused', 'carry')", name="send_state"
    ),
    CheckConstraint("state = 'carry' OR until >= at", name="ends_after_start"),
    CheckConstraint(
        "state = 'carry'"
        " OR (state = 'refused' AND pseq IS NULL AND cseq IS NULL)"
        " OR (state <> 'refused' AND pseq IS NOT NULL AND cseq IS NOT NULL)",
        name="refused_holds_no_slot",
    ),
    CheckConstraint("cost >= 0 AND (ghost = 0 OR cost = 0)", name="ghosts_are_free"),
    *_link("person", "p"),
    *_link("contact", "c"),
    Index("one_live_try", "send_id", unique=True, sqlite_where=text("state <> 'refused'"),
          postgresql_where=text("state <> 'refused'")),
    Index("send_by_plan", "plan_id"),
)  # fmt: skip

outcome = Table(
    "outcome",
    metadata,
    _text("plan_id"),
    _text("send_id"),
    _text("outcome"),
    _text("reason"),
    _number("at"),
    PrimaryKeyConstraint("plan_id", "send_id"),
    CheckConstraint(
        "outcome IN ('accepted', 'unknown', 'skipped', 'expired', 'cancelled', 'held_out')",
        name="outcome_known",
    ),
)

# Histories: rows are added, never changed. Erasure later empties address and member_id alone.
contact_point = Table(
    "contact_point",
    metadata,
    Column("seq", _Serial, primary_key=True),
    _text("person"),
    _text("channel"),
    _text("contact"),
    _text("address", null=True),
    _text("member_id", null=True),
    _text("timezone", null=True),
    _text("language", null=True),
    _number("at"),
    _number("recorded_at"),
    _text("source"),
    Index("contact_point_latest", "person", "channel", "at", "seq"),
)

consent = Table(
    "consent",
    metadata,
    Column("seq", _Serial, primary_key=True),
    _text("person"),
    _text("channel"),
    Column("granted", Integer, nullable=False),
    _number("at"),
    _number("recorded_at"),
    _text("source"),
    UniqueConstraint("person", "channel", "at", "granted", "source", name="consent_once"),
    CheckConstraint("granted IN (0, 1)", name="consent_yes_or_no"),
)

suppression = Table(
    "suppression",
    metadata,
    Column("seq", _Serial, primary_key=True),
    Column("key", Text, nullable=False),
    _text("reason"),
    _number("recorded_at"),
    UniqueConstraint("key", name="suppression_once"),
)

holdout_epoch = Table(
    "holdout_epoch",
    metadata,
    _text("campaign"),
    Column("epoch", Integer, nullable=False),
    _text("share"),
    _number("started_at"),
    PrimaryKeyConstraint("campaign", "epoch"),
)

assignment = Table(
    "assignment",
    metadata,
    _text("campaign"),
    Column("epoch", Integer, nullable=False),
    _text("person"),
    _text("contact"),
    _text("arm"),
    _number("assigned_at"),
    PrimaryKeyConstraint("campaign", "epoch", "person"),
    ForeignKeyConstraint(
        ["campaign", "epoch"], ["holdout_epoch.campaign", "holdout_epoch.epoch"]
    ),
    CheckConstraint("arm IN ('treat', 'holdout')", name="arm_known"),
    Index("assignment_by_contact", "campaign", "epoch", "contact"),
)  # fmt: skip

# Version 2. A coupon in `pool` is sent with one of its codes, or not at all.
pool = Table("pool", metadata, Column("coupon", Text, primary_key=True), _number("opened_at"))

code = Table(
    "code",
    metadata,
    Column("code", Text, primary_key=True),
    _text("coupon"),
    _text("send_id", null=True),
    _number("imported_at"),
    ForeignKeyConstraint(["coupon"], ["pool.coupon"], name="code_of_a_pool"),
    UniqueConstraint("send_id", name="code_for_one_send"),
    Index("code_by_coupon", "coupon", "send_id", "code"),
)

redemption = Table(
    "redemption",
    metadata,
    _text("order_id"),
    _text("coupon"),
    _text("person"),
    _text("send_id"),  # empty: the coupon was not sent to them
    _text("campaign", null=True),
    _text("code", null=True),
    _number("discount"),
    _number("at"),
    _number("recorded_at"),
    _number("reversed_at", null=True),
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

ADDED: dict[int, list[Table]] = {2: [pool, code, redemption]}
"""the tables that each version of the schema brought; the first brought the others"""

# Of two statements for one instant the refusal counts.
VIEWS = (
    """CREATE VIEW current_consent AS
    SELECT person, channel, granted, at FROM (
      SELECT person, channel, granted, at, ROW_NUMBER() OVER (
        PARTITION BY person, channel ORDER BY at DESC, granted, seq DESC) AS place
      FROM consent) ranked WHERE place = 1""",
    """CREATE VIEW current_contact AS
    SELECT person, channel, contact, address, member_id, timezone, language FROM (
      SELECT contact_point.*, ROW_NUMBER() OVER (
        PARTITION BY person, channel ORDER BY at DESC, seq DESC) AS place
      FROM contact_point) ranked WHERE place = 1""",
)
