"""The plans that a campaign has had."""

from dataclasses import dataclass

from sqlalchemy import select

from campaigns.ledger import tables
from campaigns.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Past:
    """A plan, and when it became the live one."""

    plan_id: str
    occasion: str
    state: str
    at: int
    """microseconds since 1970"""


def past_plans(ledger: Ledger, campaign: str) -> list[Past]:
    """All of a campaign's plans, the latest first."""
    plan = tables.plan.c
    with ledger.reading() as connection:
        rows = connection.execute(
            select(plan.plan_id, plan.occasion, plan.state, plan.registered_at)
            .where(plan.campaign == campaign)
            .order_by(plan.registered_at.desc(), plan.plan_id)
        )
        return [Past(*row) for row in rows]
