"""Large plans are sent once a second person has approved them."""

import polars as pl

from campaigns.ledger.events import approved
from campaigns.ledger.ledger import Ledger
from campaigns.plan import Plan
from campaigns.settings import CampaignSettings


def awaited(plan: Plan, ledger: Ledger, settings: CampaignSettings) -> str | None:
    """Why a plan is not sent before somebody approves it, and how; None if it may be sent."""
    pushed = plan.rows.filter(pl.col("decision") == "push")
    most_pushes, most_cost = settings.approval_over_pushes, settings.approval_over_cost
    cost = (pushed["cost"].sum() or 0) / settings.minor_units
    large = most_pushes is not None and len(pushed) > most_pushes
    dear = most_cost is not None and cost > most_cost
    if not (large or dear) or approved(ledger, plan.plan_id):
        return None
    return (
        f"Plan {plan.plan_id} of {plan.occasion} waits for approval: {len(pushed):,} pushes at a "
        f"cost of {cost:,.2f}. A second person runs `campaigns approve {plan.plan_id} --by NAME`"
    )
