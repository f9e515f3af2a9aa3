"""Shares out slots, coupons and money over members and campaigns at once."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from campaigns.account import Account, Cap
from campaigns.allocation.allocate import Allocation, allocate
from campaigns.caps import caps_of, least_of, limits_of, minimums_of
from campaigns.weigh import Weighed

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Shared:
    """Who is given what, at which prices."""

    offer: Rows
    """shape (members of the table,): -1 for nothing; a held-out member's is what they would get"""
    value: NDArray[np.float64]
    """shape (members of the table,): of that offer"""
    plan: Allocation
    account: Account

    def noting(self, **more: object) -> "Shared":
        """With more in its account."""
        return replace(self, account=self.account.model_copy(update=more))

    def given(self, weighed: Weighed) -> tuple[int, int]:
        """Minor units and pushes of all that is given out."""
        rows, _ = _given(weighed, self.offer)
        return int(weighed.table.cost[self.offer[rows]].sum()), len(rows)


def share_out(weighed: Weighed, *, spare: Mapping[str, int], total: int | None) -> Shared:
    """The plan of most value. spare: what each purse still holds; total: of the total budget."""
    table = weighed.table
    campaigns = [one.campaign for one in weighed.drafts]
    paid = [(one.campaign.campaign, coupon) for one in weighed.drafts for coupon in one.paid]
    caps = caps_of(campaigns, table.offers, spare=spare, total=total, paid=paid)
    minimums = minimums_of(campaigns, weighed.sent)
    limits = limits_of(caps, table.offers, table.most_off)

    def allocated(outside: NDArray[np.bool_]) -> Allocation:
        return allocate(
            table.choices,
            offers=len(table.offers) + 1,
            limits=limits,
            minimums=least_of(minimums, table.offers),
            held_out=outside,
            lots=weighed.lots,
        )

    chosen, plan = _with_holdouts(weighed, allocated)
    offer, value = _offers(weighed, chosen)
    _, campaign = _given(weighed, offer)
    pushes = np.bincount(campaign, minlength=len(campaigns)).tolist()
    sent = dict(zip((one.campaign for one in campaigns), pushes, strict=True))
    conflicts = {one.minimum: one for one in plan.conflicts}
    account = Account(
        occasions=[one.occasion for one in campaigns],
        value=plan.value,
        bound=plan.bound,
        gap=plan.gap,
        caps=[
            _used(cap, int(used), float(price))
            for cap, used, price in zip(caps, plan.used, plan.prices, strict=True)
        ],
        minimums=[
            one.model_copy(
                update={
                    "runs": bool(runs),
                    "subsidy": float(subsidy),
                    "pushes": sent[one.campaign],
                }
                | (
                    {"reachable": conflict.reachable, "limits": conflict.limits}
                    if (conflict := conflicts.get(one.name)) is not None
                    else {}
                )
            )
            for one, runs, subsidy in zip(minimums, plan.runs, plan.subsidies, strict=True)
        ],
    )
    return Shared(offer, value, plan, account)


def _used(cap: Cap, used: int, price: float) -> Cap:
    return cap.model_copy(update={"used": used, "price": None if np.isnan(price) else price})


def _with_holdouts(
    weighed: Weighed, allocated: Callable[[NDArray[np.bool_]], Allocation]
) -> tuple[Rows, Allocation]:
    """Places of all members' choices.

    Who is held out of all that they may get uses nothing up. Who is held out of some chooses like
    everyone; when that falls on such a campaign, they use nothing up, and the rest is shared out
    anew without them, until it falls on no more of them.
    """
    some = np.logical_or.reduce(weighed.free, axis=0)
    outside = ~some
    plan = allocated(outside)
    chosen = plan.chosen
    while True:
        offer, _ = _offers(weighed, chosen)
        campaign = weighed.table.campaign[offer]
        ghost = (offer >= 0) & (campaign >= 0)
        ghost &= weighed.held[campaign, np.arange(len(offer))]
        new = ghost & ~outside
        if not new.any():
            return chosen, plan
        outside = np.logical_or(outside, new)
        plan = allocated(outside)
        chosen = np.where(outside & some, chosen, plan.chosen)


def _offers(weighed: Weighed, chosen: Rows) -> tuple[Rows, NDArray[np.float64]]:
    choices = weighed.table.choices
    offer, value = np.full(len(chosen), -1, np.int64), np.zeros(len(chosen))
    some = chosen >= 0
    offer[some] = choices.offer[chosen[some]]
    value[some] = choices.value[chosen[some]]
    return offer, value


def _given(weighed: Weighed, offer: Rows) -> tuple[Rows, Rows]:
    """Who gets a push, and of which campaign."""
    campaign = weighed.table.campaign[offer]
    rows = np.flatnonzero((offer >= 0) & (campaign >= 0))
    rows = rows[~weighed.held[campaign[rows], rows]]
    return rows, campaign[rows]
