"""Why a plan gave a member this coupon, or none."""

from typing import Any

import numpy as np

from campaigns.definition import Campaign
from campaigns.instants import words
from campaigns.ledger.consent import standings
from campaigns.ledger.identity import send_id
from campaigns.ledger.plans import outcomes
from campaigns.plan import Plan, read_definition
from campaigns.run import Composition
from campaigns.shop import campaign_coupons

ALTERNATIVES = 5


def explain_member(composition: Composition, plan: Plan, member: str) -> dict[str, Any]:
    """The plan's row, what became of it, where the member stands, and their best coupons."""
    definition = read_definition(plan, composition.plans)
    facts: dict[str, Any] = {"plan": plan.plan_id, "campaign": definition.campaign}
    row = next((r for r in plan.rows.iter_rows(named=True) if r["member_id"] == member), None)
    if row is None:
        return facts | {"decision": "not_considered", "reason": "not in the campaign's audience"}
    facts |= {key: row[key] for key in ("decision", "reason", "coupon_id", "expected_value", "arm")}
    with composition.open_ledger() as ledger:
        person = ledger.identity.person(member)
        outcome = outcomes(ledger, plan.plan_id).get(send_id(plan.occasion, person))
        standing = standings(ledger, definition.channel).get(person)
    facts["outcome"] = None if outcome is None else ": ".join(dict.fromkeys(outcome))
    facts["consent"] = standing is not None and standing.granted
    facts["suppressed"] = standing is not None and standing.suppressed
    ends = None if standing is None else standing.slot_end
    facts["last_push_ended"] = None if ends is None else words(ends)
    facts["best_coupons"] = _best(composition, definition, member)
    return facts


def _best(composition: Composition, definition: Campaign, member: str) -> list[dict[str, Any]]:
    coupons = campaign_coupons(definition, composition.dataset())
    source = composition.offers(definition, coupons, composition.now())
    offers = source.offers([member])
    order = np.argsort(-offers.value[0], kind="stable")[:ALTERNATIVES].tolist()
    return [
        {
            "coupon_id": offers.coupon_ids[column],
            "value": float(offers.value[0, column]),
            "probability": float(offers.probability[0, column]),
            "why": source.explain(member, offers.coupon_ids[column]),
        }
        for column in order
        if np.isfinite(offers.value[0, column])
    ]
