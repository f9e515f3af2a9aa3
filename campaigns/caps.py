"""The limits that campaigns are planned under, as the planner and as the allocation see them."""

from collections.abc import Iterator, Mapping, Sequence

from campaigns.account import Cap, Least
from campaigns.allocation.problem import Limit, Minimum
from campaigns.definition import Campaign
from campaigns.ledger.plans import UNLIMITED
from campaigns.ledger.purses import budget_purse, campaign_purse, coupon_purse, share_purse

Offer = tuple[str, str]
"""campaign, coupon"""


def caps_of(
    campaigns: Sequence[Campaign],
    offers: Sequence[Offer],
    *,
    spare: Mapping[str, int],
    total: int | None,
) -> list[Cap]:
    """Every limit there is. spare: what each purse still holds; total: likewise, over all."""
    found = [] if total is None else [Cap(kind="total", most=total)]
    # An unlimited purse has a cap too, of which some may be used.
    return found + [cap for cap in _purses(campaigns, offers, spare) if cap.most < UNLIMITED // 2]


def _purses(
    campaigns: Sequence[Campaign], offers: Sequence[Offer], spare: Mapping[str, int]
) -> Iterator[Cap]:
    for campaign in campaigns:
        name = campaign.campaign
        yield Cap(kind="budget", campaign=name, most=spare[budget_purse(name)])
        yield Cap(kind="sends", campaign=name, most=spare[campaign_purse(name)])
    for coupon in dict.fromkeys(coupon for _, coupon in offers):
        yield Cap(kind="coupon", coupon=coupon, most=spare[coupon_purse(coupon)])
    for name, coupon in offers:
        yield Cap(kind="share", campaign=name, coupon=coupon, most=spare[share_purse(name, coupon)])


def limits_of(caps: Sequence[Cap], offers: Sequence[Offer]) -> list[Limit]:
    """The caps over places in `offers`."""
    return [
        Limit(
            cap.name,
            cap.most,
            [at for at, offer in enumerate(offers) if cap.covers(*offer)],
            money=cap.money,
        )
        for cap in caps
    ]


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
