"""Whom campaigns may push to, and what each of them may be given."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from campaigns.choices import Eligible, Table, table_of
from campaigns.definition import Campaign
from campaigns.instants import to_micros, words
from campaigns.ledger.assigning import assign_arms
from campaigns.ledger.consent import Standing, standings
from campaigns.ledger.ledger import Ledger
from campaigns.ledger.plans import sent_already
from campaigns.offers import OfferSource
from campaigns.policy.cap import Cap
from campaigns.scheduled import Slot, scheduled
from campaigns.settings import CampaignSettings
from recsys.errors import CampaignError
from recsys.ids import unit_interval


@dataclass(frozen=True, slots=True)
class Draft:
    """One campaign to plan."""

    campaign: Campaign
    source: OfferSource
    members: list[str]
    """its audience"""
    paid: Collection[str] = ()
    """coupons whose own budget is what limits their number"""


@dataclass(frozen=True, slots=True)
class Weighed:
    """Everything that sharing out needs but the limits."""

    drafts: list[Draft]
    barred: list[dict[str, tuple[str, str]]]
    """for each draft, member → (decision, reason) of those whom no limit keeps from a push"""
    sent: list[int]
    """for each draft, how many got its push already"""
    eligible: list[Eligible]
    table: Table
    held: NDArray[np.bool_]
    """shape (drafts, members of the table): eligible and held out of the campaign"""
    free: NDArray[np.bool_]
    """likewise: eligible and not held out"""
    kept: Mapping[str, Slot]
    lots: NDArray[np.float64]
    """shape (members of the table,)"""


def weigh(
    drafts: Sequence[Draft],
    ledger: Ledger,
    *,
    plans: Path,
    settings: CampaignSettings,
    now: datetime,
    keep: bool = True,
) -> Weighed:
    """Members, arms and values of campaigns that share each member's one slot.

    plans: where live plans lie. keep: whether arms that are drawn anew stay in the ledger.
    CampaignError for windows that are over, or so far apart that nobody has to choose.
    """
    _check(drafts, now, timedelta(days=settings.min_gap_days))
    occasions = [one.campaign.occasion for one in drafts]
    slots = scheduled(
        ledger,
        plans,
        apart_from=occasions,
        now=now,
        gap=timedelta(days=settings.min_gap_days),
    )
    answers = [_ask(one, ledger, slots, settings, now, keep=keep) for one in drafts]
    members = sorted({member for answer in answers for member in answer.free})
    place = {member: row for row, member in enumerate(members)}
    eligible = [
        Eligible(
            one.campaign.campaign,
            one.source,
            one.source.offers([]).coupon_ids,
            np.array([place[member] for member in answer.free], np.int64),
            np.array(answer.held, np.bool_),
            gains_only=one.campaign.min_sends is None,
        )
        for one, answer in zip(drafts, answers, strict=True)
    ]
    held = np.zeros((len(drafts), len(members)), np.bool_)
    free = np.zeros_like(held)
    for at, some in enumerate(eligible):
        held[at, some.rows] = some.held
        free[at, some.rows] = ~some.held
    kept = {
        member: slot.value * settings.kept_slot_chance
        for member, slot in slots.items()
        if member in place
    }
    salt = "\x00".join(sorted(occasions))
    return Weighed(
        list(drafts),
        [answer.barred for answer in answers],
        [answer.sent for answer in answers],
        eligible,
        table_of(eligible, members, kept=kept, minor_units=settings.minor_units),
        held,
        free,
        slots,
        np.array([unit_interval(salt, member) for member in members], np.float64),
    )


def _check(drafts: Sequence[Draft], now: datetime, gap: timedelta) -> None:
    campaigns = [one.campaign for one in drafts]
    names = [one.campaign for one in campaigns]
    for name in names:
        if names.count(name) > 1:
            raise CampaignError(f"Campaign '{name}' is given twice; give each file once")
    for one in campaigns:
        if one.ends_at <= now:
            raise CampaignError(
                f"The window of campaign '{one.campaign}' ended at "
                f"{words(to_micros(one.ends_at))}; move starts_at and ends_at"
            )
    first = min(campaigns, key=lambda one: one.ends_at)
    last = max(campaigns, key=lambda one: one.starts_at)
    if last.starts_at - first.ends_at >= gap:
        raise CampaignError(
            f"'{last.campaign}' starts {gap.days} days or more after the end of "
            f"'{first.campaign}', so a member may get both; plan them one at a time"
        )


@dataclass(slots=True)
class _Answer:
    barred: dict[str, tuple[str, str]]
    sent: int
    free: list[str]
    held: list[bool]


def _ask(
    one: Draft,
    ledger: Ledger,
    slots: Mapping[str, Slot],
    settings: CampaignSettings,
    now: datetime,
    *,
    keep: bool,
) -> _Answer:
    """Who is barred from one campaign, and the arms of the others."""
    campaign = one.campaign
    known = standings(ledger, campaign.channel)
    persons = [ledger.identity.person(member) for member in one.members]
    keys = [ledger.identity.send_id(campaign.occasion, person) for person in persons]
    sent = sent_already(ledger, keys)
    latest = to_micros(campaign.ends_at)
    barred: dict[str, tuple[str, str]] = {}
    free, people = [], []
    for member, person, key in zip(one.members, persons, keys, strict=True):
        standing = known.get(person)
        why = _barred(standing, key in sent, cap=settings.frequency_cap, latest=latest) or _taken(
            slots.get(member), campaign
        )
        if why is not None or standing is None:
            barred[member] = why or ("no_consent", "")
            continue
        free.append(member)
        people.append((person, standing.contact))
    share = settings.holdout if campaign.holdout is None else campaign.holdout
    held = assign_arms(ledger, campaign.campaign, share=share, people=people, now=now, keep=keep)
    return _Answer(barred, len(sent), free, held)


def _barred(one: Standing | None, sent: bool, *, cap: Cap, latest: int) -> tuple[str, str] | None:
    """What already speaks against a push; each is looked up again when it is sent."""
    if one is None:
        return "no_consent", "no contact point on this channel"
    if one.suppressed:
        return "suppressed", "on the suppression list"
    if not one.granted:
        return "no_consent", "no consent for this channel"
    if sent:
        return "already_sent", "got this campaign's push before"
    free_at = 0 if one.slot_end is None else cap.free_after(one.slot_end, one.timezone)
    return ("capped", f"capped until {words(free_at)}") if free_at > latest else None


def _taken(slot: Slot | None, campaign: Campaign) -> tuple[str, str] | None:
    """A live plan that goes first takes the slot, whatever this one would be worth."""
    if slot is None or slot.starts_at > campaign.starts_at:
        return None
    return "scheduled", (
        f"campaign '{slot.campaign}' has a push planned that goes first; plan both together to "
        "choose between them"
    )
