"""Why a plan gave a member this coupon, or none, and what would have to change for another."""

from collections.abc import Sequence
from typing import Any

from campaigns.account import amount
from campaigns.definition import Campaign
from campaigns.instants import words
from campaigns.ledger.consent import standings
from campaigns.ledger.plans import outcomes
from campaigns.offers import Offers, minor
from campaigns.plan import Plan, read_definition
from campaigns.run import Composition
from campaigns.shop import campaign_coupons

ALTERNATIVES = 5
_BARRED = {
    "no_consent": "they would have to consent to this channel",
    "suppressed": "nothing can: a suppression is for good",
    "already_sent": "nothing can: one push for each occasion",
    "capped": "the campaign's window would have to reach past that",
    "scheduled": "both campaigns would have to be planned together",
    "held_out": "nothing can: the holdout is drawn once, to measure what pushes earn",
}
"""what would have to change, whatever a coupon is worth"""
_LIKE = 1e-3
"""of the choice's worth: a difference that prices are not exact to"""


def explain_member(
    composition: Composition, plan: Plan, member: str, *, beside: Sequence[Plan] = ()
) -> dict[str, Any]:
    """The plan's row, what became of it, where the member stands, and their best coupons.

    beside: other plans; those that were made together with this one are compared with.
    """
    definition = read_definition(plan, composition.plans)
    facts: dict[str, Any] = {"plan": plan.plan_id, "campaign": definition.campaign}
    row = _row(plan, member)
    if row is None:
        return facts | {"decision": "not_considered", "reason": "not in the campaign's audience"}
    facts |= {key: row[key] for key in ("decision", "reason", "coupon_id", "expected_value", "arm")}
    with composition.open_ledger() as ledger:
        person = ledger.identity.person(member)
        outcome = outcomes(ledger, plan.plan_id).get(ledger.identity.send_id(plan.occasion, person))
        standing = standings(ledger, definition.channel).get(person)
    facts["basis"] = plan.account.basis
    facts["to_change"] = _BARRED.get(row["decision"])
    facts["outcome"] = None if outcome is None else ": ".join(dict.fromkeys(outcome))
    facts["consent"] = standing is not None and standing.granted
    facts["suppressed"] = standing is not None and standing.suppressed
    ends = None if standing is None else standing.slot_end
    facts["last_push_ended"] = None if ends is None else words(ends)
    facts["best_coupons"] = _best(composition, plan, definition, member, beside=beside)
    return facts


def _row(plan: Plan, member: str) -> dict[str, Any] | None:
    rows = plan.rows.filter(plan.rows["member_id"] == member)
    return rows.row(0, named=True) if len(rows) else None


def _best(
    composition: Composition,
    plan: Plan,
    definition: Campaign,
    member: str,
    *,
    beside: Sequence[Plan],
) -> list[dict[str, Any]]:
    """Those that earn something, by what they are worth after the prices that the plan kept."""
    coupons = campaign_coupons(definition, composition.dataset())
    source = composition.valued(definition, coupons, composition.now())
    offers = source.offers([member])
    found: list[dict[str, Any]] = []
    own = _row(plan, member) or {}
    for column, coupon in enumerate(offers.coupon_ids):
        value = float(offers.value[0, column])
        if not value > 0 and coupon != own["coupon_id"]:
            continue
        uses = _uses(offers, column, composition.settings.minor_units)
        pays = plan.account.charges(definition.campaign, coupon, *uses)
        found.append(
            {
                "coupon_id": coupon,
                "value": value,
                "probability": float(offers.probability[0, column]),
                "why": source.explain(member, coupon),
                "pays": pays,
                "left": value - sum(pays.values()),
                "barred": plan.account.closed(definition.campaign, coupon, *uses),
            }
        )
    best = _chosen(composition, [plan, *beside], plan, member)
    found.sort(key=lambda one: (one["barred"] is not None, -one["left"], -one["value"]))
    for one in found:
        if own["arm"] is not None and one["coupon_id"] != own["coupon_id"]:
            one["to_change"] = _to_change(one, best)
    return found[:ALTERNATIVES]


def _chosen(composition: Composition, plans: Sequence[Plan], of: Plan, member: str) -> float:
    """What the member's choice is worth after the kept prices; 0 for nothing."""
    for plan in plans:
        row = _row(plan, member)
        if plan.account != of.account or row is None:
            continue
        if row["decision"] == "kept":
            return float(row["expected_value"])
        if row["coupon_id"] is None:
            continue
        definition = read_definition(plan, composition.plans)
        source = composition.valued(definition, [row["coupon_id"]], composition.now())
        offers = source.offers([])
        column = offers.coupon_ids.index(row["coupon_id"])
        uses = _uses(offers, column, composition.settings.minor_units)
        pays = plan.account.charges(row["campaign_id"], row["coupon_id"], *uses)
        return float(row["expected_value"] - sum(pays.values()))
    return 0.0


def _uses(offers: Offers, column: int, units: int) -> tuple[int, int]:
    """Minor units that a push with a coupon costs, and takes off an order at most."""
    return minor(offers.cost[column], units), minor(offers.most_off[column], units)


def _to_change(one: dict[str, Any], best: float) -> str:
    """What would make this one the member's choice."""
    if one["barred"] is not None:
        return str(one["barred"])
    short = max(best, 0.0) - one["left"]
    if short <= _LIKE * best:
        return "as good as the choice made: a lot decides between equals"
    change = f"its value would have to rise by {amount(short)}"
    dearest = max(one["pays"], key=one["pays"].__getitem__, default=None)
    if dearest is not None and one["pays"][dearest] >= short:
        rest = one["pays"][dearest] - short
        change += f", or what it pays for {dearest} fall from {amount(one['pays'][dearest])} to "
        change += f"{amount(rest)}, by raising that limit"
    return change
