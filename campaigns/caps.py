"""The limits that campaigns are planned under, as the planner and as the allocation see them."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from campaigns.account import Cap, Kind, Least
from campaigns.allocation.problem import Limit, Minimum
from campaigns.definition import Campaign
from campaigns.ledger.plans import UNLIMITED
from campaigns.ledger.purses import (
    budget_purse,
    campaign_purse,
    coupon_purse,
    discount_purse,
    share_purse,
)
from campaigns.offers import ENDLESS
from recsys.errors import CampaignError

Offer = tuple[str, str]
"""campaign, coupon"""


def caps_of(
    campaigns: Sequence[Campaign],
    offers: Sequence[Offer],
    *,
    spare: Mapping[str, int],
    total: int | None,
    paid: Sequence[Offer],
) -> list[Cap]:
    """Every limit there is. spare: what each purse still holds; total: likewise, over all.

    paid: offers whose own budget is what limits their number.
    """
    found = [] if total is None else [Cap(kind="total", most=total)]
    # An unlimited purse has a cap too, of which some may be used.
    return found + [
        cap for cap in _purses(campaigns, offers, spare, paid) if cap.most < UNLIMITED // 2
    ]


def _purses(
    campaigns: Sequence[Campaign],
    offers: Sequence[Offer],
    spare: Mapping[str, int],
    paid: Sequence[Offer],
) -> Iterator[Cap]:
    for campaign in campaigns:
        name = campaign.campaign
        yield Cap(kind="budget", campaign=name, most=spare[budget_purse(name)])
        yield Cap(kind="discount", campaign=name, most=spare[discount_purse(name)])
        yield Cap(kind="sends", campaign=name, most=spare[campaign_purse(name)])
    for coupon in dict.fromkeys(coupon for _, coupon in offers):
        yield Cap(kind="coupon", coupon=coupon, most=spare[coupon_purse(coupon)])
    for name, coupon in offers:
        most = spare[share_purse(name, coupon)]
        kind: Kind = "coupon_budget" if (name, coupon) in paid else "share"
        yield Cap(kind=kind, campaign=name, coupon=coupon, most=most)


def limits_of(
    caps: Sequence[Cap], offers: Sequence[Offer], most_off: NDArray[np.int64]
) -> list[Limit]:
    """The caps over places in `offers`. most_off: shape (offers + 1,), as in `Table`.

    CampaignError for a coupon without an end under a limit on what comes off orders.
    """
    found = []
    for cap in caps:
        covered = [at for at, offer in enumerate(offers) if cap.covers(*offer)]
        if cap.kind != "discount":
            found.append(Limit(cap.name, cap.most, covered, money=cap.money))
            continue
        amounts = most_off[covered]
        if (amounts == ENDLESS).any():
            coupon = offers[covered[int((amounts == ENDLESS).argmax())]][1]
            raise CampaignError(
                f"Nothing ends what coupon '{coupon}' takes off an order, and '{cap.campaign}' "
                "has a hard discount_budget: say its max_discount and train again, or leave "
                "discount_budget out"
            )
        found.append(Limit(cap.name, cap.most, covered, amounts=amounts))
    return found


def minimums_of(campaigns: Sequence[Campaign], sent: Sequence[int]) -> list[Least]:
    """The campaigns that run only for enough members; what each has sent so far counts."""
    return [
        Least(campaign=one.campaign, least=one.min_sends - done)
        for one, done in zip(campaigns, sent, strict=True)
        if one.min_sends is not None and one.min_sends > done
    ]


def least_of(minimums: Sequence[Least], offers: Sequence[Offer]) -> list[Minimum]:
    """The minimums over places in `offers`."""
    return [
        Minimum(
            one.name,
            one.least,
            [at for at, (campaign, _) in enumerate(offers) if campaign == one.campaign],
        )
        for one in minimums
    ]
