"""A campaign seen through a dataset: its coupons, its members, its messages."""

from collections.abc import Callable, Container, Sequence
from dataclasses import replace
from datetime import datetime

import polars as pl

from campaigns.audience import Tables, in_audience, member_table
from campaigns.definition import Campaign, FromCampaign
from campaigns.ledger.identity import Identity
from campaigns.message import PLACE, Message, render
from campaigns.showcase import coupon_scope, showcase
from recsys.errors import CampaignError
from recsys.filters import parse


def campaign_coupons(campaign: Campaign, dataset: Tables) -> list[str]:
    """The coupons that the campaign may give, sorted; CampaignError for ones that do not exist."""
    known = dataset.scan("coupons").select("coupon_id").collect()["coupon_id"].to_list()
    if isinstance(campaign.coupons, FromCampaign):
        wanted = campaign.coupons.from_campaign
        listed = (
            dataset.scan("campaign_coupons")
            .filter(pl.col("campaign_id") == wanted)
            .select(pl.col("coupon_id").unique().sort())
            .collect()["coupon_id"]
            .to_list()
        )
        if not listed:
            raise CampaignError(
                f"The dataset lists no coupons for campaign '{wanted}'; name another one under "
                "coupons.from_campaign, or list coupon ids"
            )
        return [str(coupon) for coupon in listed]
    strange = sorted(set(campaign.coupons) - set(known))
    if strange:
        raise CampaignError(f"The dataset has no coupon '{strange[0]}'; take it out of coupons")
    return sorted(set(campaign.coupons))


def check_coupons(
    campaign: Campaign, coupons: Sequence[str], dataset: Tables, *, now: datetime
) -> None:
    """CampaignError for a coupon that nobody could use: expired, not yet valid, without products.

    Of those that the dataset lists for a campaign some may be so, but not all. Under a hard budget
    of discounts none may be without an end.
    """
    _check_ends(campaign, coupons, dataset)
    products = dataset.known("products", now, undated=True).lazy()
    scope = coupon_scope(dataset, products, campaign=_scope(campaign))
    covered = set(scope.select("coupon_id").unique().collect()["coupon_id"].to_list())
    dated = dataset.scan("coupons").select("coupon_id", "valid_from", "valid_until").collect()
    windows = {coupon: (since, until) for coupon, since, until in dated.iter_rows()}
    wrong = []
    for coupon in coupons:
        since, until = windows.get(coupon, (None, None))
        if until is not None and until <= now:
            wrong.append(f"coupon '{coupon}' expired at {until:%Y-%m-%d %H:%M} UTC")
        elif since is not None and since > now:
            wrong.append(f"coupon '{coupon}' is not valid before {since:%Y-%m-%d %H:%M} UTC")
        elif coupon not in covered:
            wrong.append(f"coupon '{coupon}' is for no product that the catalogue knows")
    listed = isinstance(campaign.coupons, FromCampaign)
    if wrong and (len(wrong) == len(coupons) or not listed):
        raise CampaignError(
            f"In campaign '{campaign.campaign}' {wrong[0]}; take it out of coupons, or mend it "
            "in the dataset"
        )


def _check_ends(campaign: Campaign, coupons: Sequence[str], dataset: Tables) -> None:
    if campaign.discount_budget is None:
        return
    endless = (pl.col("kind") == "percent") & pl.col("max_discount").is_null()
    found = dataset.scan("coupons").filter(pl.col("coupon_id").is_in(list(coupons)) & endless)
    named = found.select("coupon_id").sort("coupon_id").head(1).collect()["coupon_id"].to_list()
    if named:
        raise CampaignError(
            f"Coupon '{named[0]}' takes a percentage off without a max_discount, and campaign "
            f"'{campaign.campaign}' has a hard discount_budget: say max_discount in the table "
            "coupons, or leave discount_budget out"
        )


def _scope(campaign: Campaign) -> str:
    """The dataset's campaign in which the coupons are for what they are for."""
    listed = campaign.coupons
    return listed.from_campaign if isinstance(listed, FromCampaign) else campaign.campaign


def issue_limits(dataset: Tables) -> dict[str, int]:
    """How often each coupon may be issued at all, for those that have a limit."""
    coupons = dataset.scan("coupons").select("coupon_id", "max_issues").drop_nulls().collect()
    return {str(coupon): int(limit) for coupon, limit in coupons.iter_rows()}


def audience_members(campaign: Campaign, dataset: Tables, *, now: datetime) -> list[str]:
    """The ids of the campaign's audience, sorted."""
    members = member_table(dataset, now=now)
    rule = None if campaign.audience is None else parse(campaign.audience)
    passing = members.filter(pl.Series(in_audience(members, rule)))
    if passing.is_empty():
        raise CampaignError(
            f"Nobody of {len(members):,} members is in the audience of '{campaign.campaign}'; "
            "loosen its filter"
        )
    return [str(member) for member in passing["member_id"].to_list()]


def renderer(
    campaign: Campaign,
    dataset: Tables,
    *,
    pairs: pl.DataFrame,
    identity: Identity,
    public_url: str,
    now: datetime,
    coded: Container[str] = (),
) -> Callable[[str, str, str, str, str | None], Message]:
    """Renders (member id, coupon id, send id, address, language) for pairs of member and coupon.

    coded: coupons whose messages leave room for a code.
    """
    shown = showcase(dataset, pairs, campaign=_scope(campaign), now=now)

    def message(
        member_id: str, coupon_id: str, send_id: str, address: str, language: str | None
    ) -> Message:
        coupon = shown.coupon(coupon_id)
        return render(
            campaign.template,
            send_id=send_id,
            to=address,
            title=campaign.title,
            coupon=replace(coupon, code=PLACE) if coupon_id in coded else coupon,
            products=shown.products.get((member_id, coupon_id), []),
            valid_until=campaign.ends_at,
            unsubscribe=f"{public_url.rstrip('/')}/u/{identity.token(send_id)}",
        )

    return message
