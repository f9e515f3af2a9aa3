"""What is sent: plans, sends and their chains, purses, and the gate."""

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Computed,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from campaigns.instants import HOUR, WEEK
from campaigns.ledger.tables.columns import Serial, metadata, number, words

LEAST_GAP = 26 * HOUR
"""between two pushes of two calendar weeks"""

meta = Table("meta", metadata, Column("name", Text, primary_key=True), words("value"))

gate = Table(
    "gate",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    words("epoch"),
    number("hi"),
    number("closed_until"),
    CheckConstraint("id = 1", name="one_gate"),
)

purse = Table(
    "purse",
    metadata,
    Column("purse", Text, primary_key=True),
    Column("live", Integer, nullable=False),
    number("used"),
    number("cap"),
    CheckConstraint("used >= 0", name="purse_not_negative"),
    CheckConstraint("used <= cap", name="purse_not_overspent"),
)

# Of an occasion one plan at most may still be sent, now or after a pause.
_OPEN_PLAN = "state IN ('live', 'paused')"

plan = Table(
    "plan",
    metadata,
    Column("plan_id", Text, primary_key=True),
    words("occasion"),
    words("campaign"),
    words("state"),
    number("planned_rows"),
    number("registered_at"),
    CheckConstraint(
        "state IN ('live', 'paused', 'done', 'replaced', 'cancelled')", name="plan_state"
    ),
    Index("one_live_plan", "occasion", unique=True, sqlite_where=text(_OPEN_PLAN),
          postgresql_where=text(_OPEN_PLAN)),
)  # fmt: skip


def _link(
    unit: str, prefix: str
) -> list[CheckConstraint | UniqueConstraint | ForeignKeyConstraint]:
    """One chain: each push names the one before it, and starts `gap` after that one's end.

    Less than 7 days between two pushes need two calendar weeks: they differ in the zone of this
    one and in the zone of the last, so that who moves between zones gains none.
    """
    before, its_week = f"{prefix}prev_until", f"{prefix}prev_week"
    return [
        UniqueConstraint(unit, f"{prefix}seq", name=f"{unit}_chain"),
        UniqueConstraint(unit, f"{prefix}seq", "until", "week", name=f"{unit}_link"),
        CheckConstraint(f"{prefix}seq >= 1", name=f"{unit}_from_one"),
        CheckConstraint(
            f"({prefix}prev IS NULL) = ({before} IS NULL)"
            f" AND ({prefix}prev IS NULL) = ({its_week} IS NULL)",
            name=f"{unit}_link_whole",
        ),
        CheckConstraint(
            f"state = 'carry' OR {before} IS NULL OR at - {before} >= gap", name=f"{unit}_gap"
        ),
        CheckConstraint(
            f"state = 'carry' OR {before} IS NULL OR at - {before} >= {WEEK} OR (week > 0"
            f" AND {its_week} > 0 AND {prefix}prev_week_here IS NOT NULL"
            f" AND {prefix}week_there IS NOT NULL"
            f" AND week > {prefix}prev_week_here AND {prefix}week_there > {its_week})",
            name=f"{unit}_weeks",
        ),
        ForeignKeyConstraint(
            [unit, f"{prefix}prev", before, its_week],
            [f"send.{unit}", f"send.{prefix}seq", "send.until", "send.week"],
            name=f"{unit}_before",
        ),
    ]


def _weeks(prefix: str) -> list[Column[int]]:
    """The last push's week in its own zone and in this one's; this one's in the last one's zone."""
    return [
        Column(f"{prefix}prev_week", Integer),
        Column(f"{prefix}prev_week_here", Integer),
        Column(f"{prefix}week_there", Integer),
    ]


def _previous(prefix: str) -> Column[int]:
    number = Computed(f"NULLIF({prefix}seq, 1) - 1", persisted=True)
    return Column(f"{prefix}prev", Integer, number)


send = Table(
    "send",
    metadata,
    words("send_id"),
    Column("try", Integer, nullable=False),
    words("plan_id"),
    words("occasion"),
    words("campaign"),
    words("coupon", null=True),
    words("channel"),
    words("person"),
    words("contact"),
    Column("ghost", Integer, nullable=False),
    number("cost"),
    words("state"),
    number("at"),
    number("until"),
    Column("calls", Integer, nullable=False, server_default=text("1")),
    Column("pseq", Integer),
    _previous("p"),
    number("pprev_until", null=True),
    Column("cseq", Integer),
    _previous("c"),
    number("cprev_until", null=True),
    Column("gap", BigInteger, nullable=False, server_default=text(str(WEEK))),
    words("zone", null=True),
    Column("week", Integer, nullable=False, server_default=text("0")),
    *_weeks("p"),
    *_weeks("c"),
    Column("reserved", BigInteger, nullable=False, server_default=text("0")),
    Column("released", Integer, nullable=False, server_default=text("0")),
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
    CheckConstraint(f"gap >= {LEAST_GAP}", name="gap_not_too_short"),
    CheckConstraint("reserved >= 0 AND (ghost = 0 OR reserved = 0)", name="reserved_not_negative"),
    CheckConstraint("released IN (0, 1)", name="released_or_not"),
    *_link("person", "p"),
    *_link("contact", "c"),
    Index("one_live_try", "send_id", unique=True, sqlite_where=text("state <> 'refused'"),
          postgresql_where=text("state <> 'refused'")),
    Index("send_by_plan", "plan_id"),
)  # fmt: skip

outcome = Table(
    "outcome",
    metadata,
    words("plan_id"),
    words("send_id"),
    words("outcome"),
    words("reason"),
    number("at"),
    PrimaryKeyConstraint("plan_id", "send_id"),
    CheckConstraint(
        "outcome IN ('accepted', 'unknown', 'skipped', 'expired', 'cancelled', 'held_out')",
        name="outcome_known",
    ),
    sqlite_with_rowid=False,  # one page less to write for each
)


# Version 3. Caps of one channel beside the one of all: each push takes a token that is free.
token = Table(
    "token",
    metadata,
    words("key"),
    words("channel"),
    Column("place", Integer, nullable=False),
    words("send_id"),
    number("free_at"),
    PrimaryKeyConstraint("key", "channel", "place"),
    CheckConstraint("place >= 1", name="place_from_one"),
)

# When the next call through a channel may begin, for all senders together (GCRA).
rate = Table("rate", metadata, Column("channel", Text, primary_key=True), number("next_at"))

plan_event = Table(
    "plan_event",
    metadata,
    Column("seq", Serial, primary_key=True),
    words("plan_id"),
    words("kind"),
    words("actor"),
    words("reason"),
    number("at"),
    CheckConstraint(
        "kind IN ('planned', 'approved', 'paused', 'resumed', 'cancelled', 'canary_passed',"
        " 'broken')",
        name="event_known",
    ),
    Index("plan_event_by_plan", "plan_id", "seq"),
)

missed = Table(
    "missed",
    metadata,
    Column("occasion", Text, primary_key=True),
    words("campaign"),
    words("reason"),
    number("at"),
)

feedback = Table(
    "feedback",
    metadata,
    words("provider"),
    words("event_id"),
    words("send_id"),
    words("kind"),
    number("at"),
    number("recorded_at"),
    PrimaryKeyConstraint("provider", "event_id"),
    CheckConstraint(
        "kind IN ('delivered', 'bounced', 'complained', 'unregistered', 'unsubscribed', 'failed')",
        name="feedback_known",
    ),
    Index("feedback_by_send", "send_id"),
)
