"""Decides for every member of an audience: which coupon, or why none."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from campaigns.allocate import Limits, allocate
from campaigns.definition import Campaign
from campaigns.instants import DAY, to_micros, words
from campaigns.ledger.consent import Standing, standings
from campaigns.ledger.identity import send_id
from campaigns.ledger.ledger import Ledger
from campaigns.ledger.plans import assign_arms, left, sent_already
from campaigns.ledger.purses import budget_purse, campaign_purse, coupon_purse, share_purse
from campaigns.offers import OfferSource
from campaigns.plan import SCHEMA, Plan, identify
from campaigns.settings import CampaignSettings
from recsys.errors import CampaignError
from recsys.ids import stable_hash

_CHUNK = 20_000


def make_plan(
    campaign: Campaign,
    ledger: Ledger,
    offers: OfferSource,
    *,
    members: Sequence[str],
    purses: Mapping[str, int],
    settings: CampaignSettings,
    now: datetime,
) -> Plan:
    """One row for each member of the audience, decided.

    Also draws the arms of members not seen before in the campaign, which the ledger keeps.
    """
    if campaign.ends_at <= now:
        raise CampaignError(
            f"The window of campaign '{campaign.campaign}' ended at "
            f"{words(to_micros(campaign.ends_at))}; move starts_at and ends_at"
        )
    known = standings(ledger, campaign.channel)
    persons = [ledger.identity.person(member) for member in members]
    keys = [send_id(campaign.occasion, person) for person in persons]
    sent = sent_already(ledger, keys)
    gap = int(settings.min_gap_days * DAY)
    latest = to_micros(campaign.ends_at)
    barred = {
        row: why
        for row, (person, key) in enumerate(zip(persons, keys, strict=True))
        if (why := _barred(known.get(person), key in sent, gap=gap, latest=latest)) is not None
    }
    free = [row for row in range(len(members)) if row not in barred]
    people = [(persons[row], known[persons[row]].contact) for row in free]
    share = settings.holdout if campaign.holdout is None else campaign.holdout
    held = assign_arms(ledger, campaign.campaign, share=share, people=people, now=now)
    choices = _choose(
        campaign,
        ledger,
        offers,
        members=[members[row] for row in free],
        held=held,
        purses=purses,
        settings=settings,
    )
    rows = [
        _row(campaign, member, barred.get(row) or next(choices))
        for row, member in enumerate(members)
    ]
    frame = pl.DataFrame(rows, SCHEMA, orient="row").sort("member_id")
    return Plan(identify(frame)[0], campaign.occasion, frame)


@dataclass(frozen=True, slots=True)
class _Choice:
    decision: str
    reason: str
    arm: str | None = None
    coupon: str | None = None
    value: float | None = None
    cost: int | None = None


def _barred(one: Standing | None, sent: bool, *, gap: int, latest: int) -> _Choice | None:
    """What already speaks against a push; each is looked up again when it is sent."""
    if one is None:
        return _Choice("no_consent", "no contact point on this channel")
    if one.suppressed:
        return _Choice("suppressed", "on the suppression list")
    if not one.granted:
        return _Choice("no_consent", "no consent for this channel")
    if sent:
        return _Choice("already_sent", "got this campaign's push before")
    if one.slot_end is not None and one.slot_end + gap > latest:
        return _Choice("capped", f"capped until {words(one.slot_end + gap)}")
    return None


def _choose(
    campaign: Campaign,
    ledger: Ledger,
    source: OfferSource,
    *,
    members: list[str],
    held: list[bool],
    purses: Mapping[str, int],
    settings: CampaignSettings,
) -> Iterator[_Choice]:
    """One choice for each member, in their order."""
    if not members:
        return
    chunks = [
        source.offers(members[start : start + _CHUNK]) for start in range(0, len(members), _CHUNK)
    ]
    coupons = chunks[0].coupon_ids
    value = np.concatenate([chunk.value for chunk in chunks])
    cost = np.array([math.ceil(c * settings.minor_units - 1e-9) for c in chunks[0].cost], np.int64)
    if (cost < 0).any():
        raise CampaignError(f"Coupon '{coupons[int(cost.argmin())]}' has a cost below zero")
    result = allocate(
        value,
        cost,
        limits=_limits(campaign, ledger, coupons, purses),
        held_out=np.array(held, np.bool_),
        ties=_ties(campaign, members),
    )
    for row, member in enumerate(members):
        arm = "holdout" if held[row] else "treat"
        column = int(result.coupon[row])
        if column < 0:
            yield _Choice(result.reason[row], _WORDS[result.reason[row]], arm)
            continue
        yield _Choice(
            "held_out" if held[row] else "push",
            source.explain(member, coupons[column]),
            arm,
            coupons[column],
            float(value[row, column]),
            0 if held[row] else int(cost[column]),
        )


def _limits(
    campaign: Campaign, ledger: Ledger, coupons: Sequence[str], purses: Mapping[str, int]
) -> Limits:
    """What the purses still hold."""
    spare = left(ledger, purses)
    name = campaign.campaign
    return Limits(
        spare[budget_purse(name)],
        spare[campaign_purse(name)],
        np.array(
            [min(spare[coupon_purse(c)], spare[share_purse(name, c)]) for c in coupons], np.int64
        ),
    )


_WORDS = {
    "no_offer_worth_it": "no coupon is worth more than it costs",
    "budget": "the budget was spent on members where it earns more",
    "coupon_limit": "the coupons worth it were used up",
    "campaign_limit": "the campaign's number of sends was used up",
}


def _ties(campaign: Campaign, members: Sequence[str]) -> NDArray[np.uint64]:
    hashes = (stable_hash(f"{campaign.occasion}\x00{member}") for member in members)
    return np.fromiter(hashes, np.uint64, len(members))


def _row(campaign: Campaign, member: str, one: _Choice) -> tuple[object, ...]:
    return (
        member,
        campaign.campaign,
        one.coupon,
        campaign.channel,
        campaign.starts_at.astimezone(UTC),
        campaign.ends_at.astimezone(UTC),
        one.value,
        one.cost,
        one.arm,
        one.decision,
        one.reason,
        campaign.digest,
        campaign.template.digest,
    )
