"""Who may be reached, where, and who is held out. Rows are added, never changed.

Erasure empties address and member_id alone.
"""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
)

from campaigns.ledger.tables.columns import Serial, metadata, number, words

contact_point = Table(
    "contact_point",
    metadata,
    Column("seq", Serial, primary_key=True),
    words("person"),
    words("channel"),
    words("contact"),
    words("address", null=True),
    words("member_id", null=True),
    words("timezone", null=True),
    words("language", null=True),
    number("at"),
    number("recorded_at"),
    words("source"),
    Index("contact_point_latest", "person", "channel", "at", "seq"),
)

consent = Table(
    "consent",
    metadata,
    Column("seq", Serial, primary_key=True),
    words("person"),
    words("channel"),
    Column("granted", Integer, nullable=False),
    number("at"),
    number("recorded_at"),
    words("source"),
    UniqueConstraint("person", "channel", "at", "granted", "source", name="consent_once"),
    CheckConstraint("granted IN (0, 1)", name="consent_yes_or_no"),
)

suppression = Table(
    "suppression",
    metadata,
    Column("seq", Serial, primary_key=True),
    Column("key", Text, nullable=False),
    words("reason"),
    number("recorded_at"),
    UniqueConstraint("key", name="suppression_once"),
)

holdout_epoch = Table(
    "holdout_epoch",
    metadata,
    words("campaign"),
    Column("epoch", Integer, nullable=False),
    words("share"),
    number("started_at"),
    PrimaryKeyConstraint("campaign", "epoch"),
)

assignment = Table(
    "assignment",
    metadata,
    words("campaign"),
    Column("epoch", Integer, nullable=False),
    words("person"),
    words("contact"),
    words("arm"),
    number("assigned_at"),
    PrimaryKeyConstraint("campaign", "epoch", "person"),
    ForeignKeyConstraint(
        ["campaign", "epoch"], ["holdout_epoch.campaign", "holdout_epoch.epoch"]
    ),
    CheckConstraint("arm IN ('treat', 'holdout')", name="arm_known"),
    Index("assignment_by_contact", "campaign", "epoch", "contact"),
)  # fmt: skip

# Version 3. A double opt-in counts once its link was answered.
opt_in = Table(
    "opt_in",
    metadata,
    Column("seq", Serial, primary_key=True),
    words("person"),
    words("channel"),
    words("contact"),
    words("wording"),
    words("source"),
    number("asked_at"),
    number("confirmed_at", null=True),
    Index("opt_in_latest", "person", "channel", "seq"),
)

merge = Table(
    "merge",
    metadata,
    Column("merged", Text, primary_key=True),
    words("survivor"),
    words("source"),
    number("at"),
    CheckConstraint("merged <> survivor", name="merged_into_another"),
)

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
