"""Plans that want every member at once, so that only the ledger stands between them and a member.

They are written row by row: a real plan would leave out whoever another one is to reach.
"""

from collections.abc import Sequence
from datetime import timedelta

import polars as pl

from campaigns.account import Account
from campaigns.definition import Campaign
from campaigns.ledger.assigning import assign_arms
from campaigns.ledger.identity import CHANNELS
from campaigns.ledger.ledger import Ledger
from campaigns.message import whole
from campaigns.plan import (
    SCHEMA,
    Plan,
    identify,
    in_order,
    purse_limits,
    register_plan,
    write_plan,
)
from campaigns.run import Composition
from campaigns.selftest.world import COUPONS

WINDOW = timedelta(days=8)
"""longer than a week, so that who waits for a slot may get it"""
_HOLDOUT = 0.05
_COST = 5


def make_plans(composition: Composition, ledger: Ledger, *, cycle: int, members: int) -> list[Plan]:
    """One live plan for each channel, from now on, over all members."""
    now = composition.now().replace(microsecond=0)
    made = []
    for channel, coupon in zip(CHANNELS, COUPONS, strict=True):
        campaign = Campaign(
            campaign=f"{channel}-{cycle}",
            title="Your week",
            starts_at=now,
            ends_at=now + WINDOW,
            channel=channel,
            coupons=[coupon],
            budget=1_000.0,
            holdout=_HOLDOUT,
        ).with_defaults(composition.settings)
        template = whole(campaign.template, campaign.channel)
        campaign = campaign.model_copy(update={"template": template})
        everyone = in_order([f"m{at}" for at in range(members)], campaign.occasion, ledger.identity)
        plan = _plan(composition, ledger, campaign, everyone)
        write_plan(plan, campaign, composition.plans)
        # One limit that is reached, so that coupons are fought for, too.
        issues = {COUPONS[-1]: (cycle + 1) * members // 4}
        limits = purse_limits(
            campaign, [coupon], issues=issues, affordable={}, settings=composition.settings
        )
        register_plan(
            plan, campaign, ledger, purses=limits, folder=composition.plans, now=composition.now()
        )
        made.append(plan)
    return made


def _plan(
    composition: Composition, ledger: Ledger, campaign: Campaign, members: Sequence[str]
) -> Plan:
    (coupon,) = campaign.coupons
    people = [ledger.identity.person(member) for member in members]
    held = assign_arms(
        ledger, campaign.campaign, share=_HOLDOUT,
        people=[(one, one) for one in people], now=composition.now(),
    )  # fmt: skip
    rows = [
        (
            member, campaign.campaign, coupon, campaign.channel, campaign.starts_at,
            campaign.ends_at, 1.0, 0 if out else _COST, 0.1, 1.0, 100,
            "holdout" if out else "treat", "held_out" if out else "push", "made up",
            campaign.digest, campaign.template.digest,
        )
        for member, out in zip(members, held, strict=True)
    ]  # fmt: skip
    frame = pl.DataFrame(rows, SCHEMA, orient="row")
    account = Account(occasions=[campaign.occasion], value=1, bound=1, gap=0, caps=[], minimums=[])
    plan_id, _ = identify(frame, account)
    return Plan(plan_id, campaign.occasion, frame, account)
