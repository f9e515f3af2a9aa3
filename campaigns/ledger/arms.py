"""What a campaign's arms are known by: who was drawn into which, planned, reached, and what each
of them cost and redeemed."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from campaigns.ledger.ledger import Ledger

Rows = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Arms:
    """Rows of the ledger, of one campaign and the people that were ever drawn for it. Times are
    microseconds, money is minor units."""

    epochs: Rows
    """epoch, share held out, started_at"""
    assigned: Rows
    """epoch, person, contact, arm"""
    plans: Rows
    """plan_id, occasion, registered_at; those whose sending began"""
    planned: Rows
    """plan_id, send_id: rows to push or to hold out that have an outcome"""
    claims: Rows
    """plan_id, send_id, person, contact, ghost, at: those that hold a slot"""
    points: Rows
    """person, contact, member_id; None for an erased one"""
    paid: Rows
    """person, at, cost: sends of all campaigns, those that bounced left out"""
    redeemed: Rows
    """person, at, discount: of all campaigns, those that were undone left out"""
    merged: Rows
    """merged, survivor: two people of whom the shop has come to know that they are one"""


def read_arms(ledger: Ledger, campaign: str) -> Arms:
    """All of it in one state."""
    with ledger.reading() as connection:
        return Arms(**{name: _rows(connection, sql, campaign) for name, sql in _SQL.items()})


def campaigns_sent(ledger: Ledger) -> list[str]:
    """The campaigns whose sending began, by name."""
    with ledger.reading() as connection:
        return [str(name) for name in connection.execute(_SENT).scalars()]


def _rows(connection: Connection, sql: str, campaign: str) -> Rows:
    return [tuple(row) for row in connection.execute(text(sql), {"campaign": campaign}).all()]


_SENT = text(
    "SELECT DISTINCT campaign FROM plan p"
    " WHERE EXISTS (SELECT 1 FROM send s WHERE s.plan_id = p.plan_id) ORDER BY campaign"
)
_DRAWN = "person IN (SELECT person FROM assignment WHERE campaign = :campaign)"
_SQL = {
    "epochs": "SELECT epoch, share, started_at FROM holdout_epoch WHERE campaign = :campaign",
    "assigned": "SELECT epoch, person, contact, arm FROM assignment WHERE campaign = :campaign",
    "plans": (
        "SELECT plan_id, occasion, registered_at FROM plan p WHERE campaign = :campaign"
        " AND EXISTS (SELECT 1 FROM send s WHERE s.plan_id = p.plan_id)"
    ),
    # What was never to be sent got its outcome together with the plan.
    "planned": (
        "SELECT o.plan_id, o.send_id FROM outcome o JOIN plan p ON p.plan_id = o.plan_id"
        " WHERE p.campaign = :campaign AND NOT (o.outcome = 'skipped' AND o.at = p.registered_at)"
    ),
    "claims": (
        "SELECT plan_id, send_id, person, contact, ghost, at FROM send"
        " WHERE campaign = :campaign AND state IN ('attempting', 'unknown', 'accepted')"
    ),
    "points": f"SELECT DISTINCT person, contact, member_id FROM contact_point WHERE {_DRAWN}",
    "paid": (
        "SELECT person, at, cost FROM send"
        f" WHERE state IN ('attempting', 'unknown', 'accepted') AND released = 0 AND {_DRAWN}"
    ),
    "redeemed": (
        f"SELECT person, at, discount FROM redemption WHERE reversed_at IS NULL AND {_DRAWN}"
    ),
    "merged": (
        "SELECT merged, survivor FROM merge"
        f" WHERE {_DRAWN.replace('person', 'merged', 1)}"
        f" OR {_DRAWN.replace('person', 'survivor', 1)}"
    ),
}
