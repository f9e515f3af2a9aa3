"""The ledger's tables. Every promise that a constraint can hold is held by one."""

from sqlalchemy import Table

from campaigns.ledger.tables.columns import metadata
from campaigns.ledger.tables.coupons import code, pool, redemption
from campaigns.ledger.tables.people import (
    VIEWS,
    assignment,
    consent,
    contact_point,
    holdout_epoch,
    merge,
    opt_in,
    suppression,
)
from campaigns.ledger.tables.sends import (
    LEAST_GAP,
    feedback,
    gate,
    meta,
    missed,
    outcome,
    plan,
    plan_event,
    purse,
    rate,
    send,
    token,
)

SCHEMA_VERSION = 4

ADDED: dict[int, list[Table]] = {
    2: [pool, code, redemption],
    3: [token, rate, plan_event, missed, feedback, opt_in, merge],
}
"""the tables that versions of the schema brought; the first brought the others, and the fourth
other send ids"""

REMADE: dict[int, list[Table]] = {3: [plan, send, redemption]}
"""those that it changed"""

FILLED = {
    "send": {
        f"{prefix}prev_week": f"CASE WHEN {prefix}prev_until IS NULL THEN NULL ELSE 0 END"
        for prefix in ("p", "c")
    }
}
"""columns of theirs that rows of before need, where nothing would not do"""

__all__ = [
    "ADDED",
    "FILLED",
    "LEAST_GAP",
    "REMADE",
    "SCHEMA_VERSION",
    "VIEWS",
    "assignment",
    "code",
    "consent",
    "contact_point",
    "feedback",
    "gate",
    "holdout_epoch",
    "merge",
    "meta",
    "metadata",
    "missed",
    "opt_in",
    "outcome",
    "plan",
    "plan_event",
    "pool",
    "purse",
    "rate",
    "redemption",
    "send",
    "suppression",
    "token",
]
