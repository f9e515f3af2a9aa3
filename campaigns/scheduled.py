"""Slots that live plans of other occasions mean to use within the week."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from campaigns.ledger.ledger import Ledger
from campaigns.ledger.plans import live_plans, outcomes
from campaigns.plan import read_plan


@dataclass(frozen=True, slots=True)
class Slot:
    """One member's push that is planned already."""

    campaign: str
    starts_at: datetime
    ends_at: datetime
    value: float
    """expected, if it is sent"""


def scheduled(
    ledger: Ledger, folder: Path, *, apart_from: Collection[str], now: datetime, gap: timedelta
) -> Mapping[str, Slot]:
    """Member → the most valuable push that a live plan holds for them and that is still to go.

    apart_from: occasions that are planned anew. A push whose window begins a gap from now or later
    takes no slot from one that is sent now. Who is held out of it waits for it like the others.
    """
    identity, found = ledger.identity, dict[str, Slot]()
    for registered in live_plans(ledger):
        if registered.occasion in apart_from:
            continue
        plan = read_plan(registered.plan_id, folder)
        done = outcomes(ledger, plan.plan_id)
        for row in plan.rows.iter_rows(named=True):
            if row["decision"] not in ("push", "held_out"):
                continue
            slot = Slot(
                row["campaign_id"],
                row["send_not_before"],
                row["send_not_after"],
                row["expected_value"],
            )
            if slot.starts_at >= now + gap or slot.ends_at <= now:
                continue
            member = row["member_id"]
            if identity.send_id(plan.occasion, identity.person(member)) in done:
                continue
            if member not in found or slot.value > found[member].value:
                found[member] = slot
    return found
