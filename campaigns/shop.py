"""A campaign seen through a dataset: its coupons, its members, its messages."""

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import lru_cache, partial

import polars as pl

from campaigns.audience import Tables, asks_for_pushes, in_audience, member_table, with_pushes
from campaigns.definition import Campaign, FromCampaign
from campaigns.ledger.identity import Identity
from campaigns.ledger.ledger import Ledger
from campaigns.links import product_url
from campaigns.message import PLACE, Message, Product, render
from campaigns.showcase import coupon_scope, showcase
from campaigns.tiers import check_tiers, refuse_unknown
from recsys.errors import CampaignError
from recsys.filters import parse

_CHUNK = 20_480
"""rows of a plan whose products are looked up at once: a block of the sender's chunks"""


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
    """CampaignError for a coupon that nobody could use: expired, not yet valid, without products,
    for a tier that no member has.

    Of those that the dataset lists for a campaign some may be so, but not all. Under a hard budget
    of discounts none may be without an end.
    """
    _check_ends(campaign, coupons, dataset)
    check_tiers(campaign.campaign, coupons, dataset, now=now)
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


def audience_members(
    campaign: Campaign, dataset: Tables, *, ledger: Ledger, now: datetime
) -> list[str]:
    """The ids of the campaign's audience, sorted; CampaignError if it is nobody."""
    members, passing = _audience(campaign, dataset, ledger, now)
    if passing.is_empty():
        raise CampaignError(
            f"Nobody of {len(members):,} members is in the audience of '{campaign.campaign}'; "
            "loosen its filter"
        )
    return [str(member) for member in passing["member_id"].to_list()]


def some_of_audience(
    campaign: Campaign, dataset: Tables, wanted: Collection[str], *, ledger: Ledger, now: datetime
) -> set[str]:
    """Those of the wanted members who are in the campaign's audience; possibly none."""
    _, passing = _audience(campaign, dataset, ledger, now)
    return set(wanted).intersection(passing["member_id"].to_list())


def _audience(
    campaign: Campaign, dataset: Tables, ledger: Ledger, now: datetime
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """All members, and those of the audience."""
    members = member_table(dataset, now=now)
    rule = None if campaign.audience is None else parse(campaign.audience)
    if rule is not None and "tier" in rule.fields:
        asked = f"The audience of '{campaign.campaign}' asks for"
        refuse_unknown(rule.texts("tier"), members, asked)
    if asks_for_pushes(rule):
        members = with_pushes(members, ledger, now=now)
    return members, members.filter(pl.Series(in_audience(members, rule)))


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

    Products are looked up for many neighbours at a time, when the first of them is asked for.
    coded: coupons whose messages leave room for a code.
    """
    shown = showcase(dataset, campaign=_scope(campaign), coupons=_coupons(pairs), now=now)
    given = pairs.select("member_id", "coupon_id").drop_nulls().sort("member_id")
    members, utm = given["member_id"], campaign.utm_facts

    @lru_cache(maxsize=2)
    def chunk(number: int) -> Mapping[tuple[str, str], list[Product]]:
        """Of neighbours in the plan, which are sent together."""
        return shown.products(given.slice(number * _CHUNK, _CHUNK))

    def products(member_id: str, coupon_id: str) -> list[Product]:
        found = chunk(int(members.search_sorted(member_id)) // _CHUNK)
        some = found.get((member_id, coupon_id), [])
        if campaign.shop_url is None:
            return some
        url = partial(product_url, campaign.shop_url, utm=utm)
        return [replace(one, url=url(one.product_id)) for one in some]

    def message(
        member_id: str, coupon_id: str, send_id: str, address: str, language: str | None
    ) -> Message:
        coupon = shown.coupon(coupon_id)
        return render(
            campaign.template,
            channel=campaign.channel,
            language=language,
            send_id=send_id,
            to=address,
            title=campaign.title,
            coupon=replace(coupon, code=PLACE) if coupon_id in coded else coupon,
            products=products(member_id, coupon_id),
            valid_until=campaign.ends_at,
            unsubscribe=f"{public_url.rstrip('/')}/u/{identity.token(send_id)}",
        )

    return message


def _coupons(pairs: pl.DataFrame) -> list[str]:
    return [str(coupon) for coupon in pairs["coupon_id"].drop_nulls().unique().sort()]
