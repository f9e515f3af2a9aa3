"""Decides for every member of every audience: which coupon, or why none."""

from collections.abc import Iterator, Sequence
from datetime import UTC

import numpy as np
import polars as pl

from campaigns.account import Account
from campaigns.allocation.allocate import barriers
from campaigns.ledger.identity import Identity
from campaigns.offers import ENDLESS, OfferSource, minor
from campaigns.plan import SCHEMA, Plan, identify, in_order
from campaigns.share import Shared
from campaigns.weigh import Draft, Weighed

_OF_CAP = {
    "total": ("budget", "the total budget was spent on members where it earns more"),
    "budget": ("budget", "the budget was spent on members where it earns more"),
    "discount": (
        "discount_budget",
        "the discount budget was reserved for members where it earns more",
    ),
    "sends": ("campaign_limit", "the campaign's number of sends was used up"),
    "coupon": ("coupon_limit", "the coupons worth it were used up"),
    "share": ("coupon_limit", "the coupons worth it were used up"),
    "coupon_budget": ("coupon_limit", "the coupons worth it were used up"),
}

_CHUNK = 20_000
"""members asked about at a time"""

_Row = tuple[str, str, str | None, str | None, float | None, int | None]
"""decision, reason, arm, coupon, value, cost"""
_Use = tuple[float, float, int | None]
"""probability, discount, most off"""


def make_plans(
    weighed: Weighed, shared: Shared, *, identity: Identity, minor_units: int
) -> list[Plan]:
    """One plan for each campaign, with one row for each member of its audience."""
    plans = []
    for at, draft in enumerate(weighed.drafts):
        decided = dict(_decided(at, weighed, shared))
        decided |= {
            member: (decision, reason, None, None, None, None)
            for member, (decision, reason) in weighed.barred[at].items()
        }
        uses = _uses(
            draft.source,
            [(member, one[3]) for member, one in decided.items() if one[3] is not None],
            minor_units,
        )
        members = in_order(draft.members, draft.campaign.occasion, identity)
        rows = [_row(draft, member, decided[member], uses.get(member)) for member in members]
        frame = pl.DataFrame(rows, SCHEMA, orient="row")
        plan_id, _ = identify(frame, shared.account)
        plans.append(Plan(plan_id, draft.campaign.occasion, frame, shared.account))
    return plans


def _decided(at: int, weighed: Weighed, shared: Shared) -> Iterator[tuple[str, _Row]]:
    """(member, what) for those who are eligible for one campaign."""
    table, some = weighed.table, weighed.eligible[at]
    campaign = table.campaign[shared.offer]
    own = np.flatnonzero(table.campaign == at).tolist()
    without = some.rows[shared.offer[some.rows] < 0]
    found = barriers(table.choices, shared.plan, without, own).tolist()
    barrier = dict(zip(without.tolist(), found, strict=True))
    for row, held in zip(some.rows.tolist(), some.held.tolist(), strict=True):
        member, arm = table.members[row], "holdout" if held else "treat"
        offer = int(shared.offer[row])
        if offer < 0:
            yield member, (*_without(barrier[row], shared.account), arm, None, None, None)
        elif campaign[row] < 0:
            slot = weighed.kept[member]
            reason = f"the slot is kept for campaign '{slot.campaign}'"
            yield member, ("kept", reason, arm, None, round(float(shared.value[row]), 6), None)
        elif campaign[row] != at:
            name, coupon = table.offers[offer]
            reason = f"campaign '{name}' with coupon '{coupon}' earns more"
            yield member, ("elsewhere", reason, arm, None, None, None)
        else:
            coupon = table.offers[offer][1]
            yield (
                member,
                (
                    "held_out" if held else "push",
                    some.source.explain(member, coupon),
                    arm,
                    coupon,
                    round(float(shared.value[row]), 6),
                    0 if held else int(table.cost[offer]),
                ),
            )


def _without(barrier: int, account: Account) -> tuple[str, str]:
    """Decision and reason for who gets nothing."""
    if barrier < 0:
        return "no_offer_worth_it", "no coupon is worth more than it costs"
    if barrier < len(account.caps):
        return _OF_CAP[account.caps[barrier].kind]
    one = account.minimums[barrier - len(account.caps)]
    why = "cannot be reached" if one.reachable is not None else "would cost more than it earns"
    return "minimum", f"the campaign does not run: {one.name}, {one.least:,}, {why}"


def _uses(
    source: OfferSource, chosen: Sequence[tuple[str, str]], minor_units: int
) -> dict[str, _Use]:
    """What a redemption of the coupon chosen for each member would be."""
    found: dict[str, _Use] = {}
    for start in range(0, len(chosen), _CHUNK):
        some = chosen[start : start + _CHUNK]
        offers = source.offers([member for member, _ in some])
        place = {coupon: at for at, coupon in enumerate(offers.coupon_ids)}
        for row, (member, coupon) in enumerate(some):
            at = place[coupon]
            most = minor(float(offers.most_off[at]), minor_units)
            found[member] = (
                float(offers.probability[row, at]),
                float(offers.discount[row, at]),
                None if most == ENDLESS else most,
            )
    return found


def _row(draft: Draft, member: str, one: _Row, use: _Use | None) -> Sequence[object]:
    campaign = draft.campaign
    decision, reason, arm, coupon, value, cost = one
    return (
        member,
        campaign.campaign,
        coupon,
        campaign.channel,
        campaign.starts_at.astimezone(UTC),
        campaign.ends_at.astimezone(UTC),
        value,
        cost,
        *(use or (None, None, None)),
        arm,
        decision,
        reason,
        campaign.digest,
        campaign.template.digest,
    )
