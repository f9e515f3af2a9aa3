"""What is due now: of each campaign the occasions that are open and were not planned yet.

Of several missed occasions the newest is caught up, if its window is still open; the older ones,
and those whose window is over, are missed for good. Before its first plan a campaign missed
nothing. Birthdays are of different people, so that every open one is caught up.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from campaigns.audience import Tables
from campaigns.calendar.birthdays import LONGEST_DAY, Born, parties
from campaigns.calendar.dated import Dated, Repeating
from campaigns.calendar.schedule import Birthdays, Repeated
from campaigns.definition import Campaign
from campaigns.ledger.ledger import Ledger
from campaigns.ledger.occasions import (
    Missed,
    known_occasions,
    open_plans,
    reached_since,
    spent_on,
    zones_of,
)
from campaigns.ledger.purses import budget_purse, campaign_purse, discount_purse
from campaigns.plan import read_plan
from campaigns.settings import CampaignSettings
from campaigns.shop import some_of_audience

CLOSED = "its window was over before a run saw it"
OVERTAKEN = "a newer one was due when a run saw it"

_LONGEST_WINDOW = timedelta(hours=168)
_LOOK_BACK = timedelta(days=31)
"""for birthdays that were missed"""
_ONCE_A_YEAR = timedelta(days=300)
"""so long nobody is congratulated again, whatever they say their birthday is"""
_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Due:
    """One occasion to plan."""

    campaign: Campaign
    members: frozenset[str] | None = None
    """the only ones it is for; None: its whole audience"""


@dataclass(slots=True)
class Agenda:
    """What a campaign, or all of them, have to do now."""

    due: list[Due] = field(default_factory=list)
    missed: list[Missed] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Present:
    """What an agenda is made of."""

    ledger: Ledger
    dataset: Tables
    settings: CampaignSettings
    plans: Path
    now: datetime


def agenda(dated: Dated, at: Present) -> Agenda:
    """The occasions of one campaign that are due, and those that were missed."""
    if not isinstance(dated, Repeating):
        known = known_occasions(at.ledger, dated.campaign)
        started = dated.starts_at <= at.now
        return _sorted_out([dated] if started and dated.occasion not in known else [], at.now)
    name = dated.example.campaign
    known = known_occasions(at.ledger, name)
    begun = [start for start in map(_start, known) if start <= at.now]
    last = max(begun, default=None)
    if isinstance(dated.schedule, Birthdays):
        return _birthdays(dated, dated.schedule, at, known, last)
    return _repeated(dated, dated.schedule, at, known, last)


def _repeated(
    dated: Repeating, schedule: Repeated, at: Present, known: Collection[str], last: datetime | None
) -> Agenda:
    windows = schedule.windows(last or at.now - _LONGEST_WINDOW, at.now)
    ones = [_paid(dated.within(window), at) for window in windows]
    found = _sorted_out([one for one in ones if one.occasion not in known], at.now)
    return found if last is not None else Agenda(found.due)


def _sorted_out(campaigns: list[Campaign], now: datetime) -> Agenda:
    """The newest is due while it is open; the earliest come first."""
    found = Agenda()
    for at, one in enumerate(campaigns, 1):
        if one.ends_at <= now:
            found.missed.append(Missed(one.occasion, one.campaign, CLOSED))
        elif at < len(campaigns):
            found.missed.append(Missed(one.occasion, one.campaign, OVERTAKEN))
        else:
            found.due.append(Due(one))
    return found


def _birthdays(
    dated: Repeating, schedule: Birthdays, at: Present, known: Collection[str],
    last: datetime | None,
) -> Agenda:  # fmt: skip
    after = at.now - LONGEST_DAY
    if last is not None:
        after = min(after, max(last, at.now - _LOOK_BACK))
    lasting = [
        party
        for party in parties(
            _born(dated.example.channel, at, after), schedule.leap, after=after, until=at.now,
            default_zone=at.settings.quiet_zone,
        )
        if party.window.ends_at > at.now or (last is not None and party.window.starts_at > last)
    ]  # fmt: skip
    new = [(party, dated.within(party.window)) for party in lasting]
    new = [(party, one) for party, one in new if one.occasion not in known]
    found = Agenda()
    if not new:
        return found
    wanted = some_of_audience(
        dated.example, at.dataset, {name for party, _ in new for name in party.members},
        ledger=at.ledger, now=at.now,
    )  # fmt: skip
    had, person = _congratulated(dated.example, at), at.ledger.identity.person
    for party, one in new:
        left = frozenset(m for m in wanted.intersection(party.members) if person(m) not in had)
        if left and one.ends_at <= at.now:
            found.missed.append(Missed(one.occasion, one.campaign, CLOSED))
        elif left:
            found.due.append(Due(_paid(one, at), left))
    return found


def _born(channel: str, at: Present, after: datetime) -> list[Born]:
    """Members who can be reached and may have had a birthday since."""
    members = at.dataset.known("members", at.now, undated=True)
    days = {f"{day:%m-%d}" for day in _days(after.date() - _DAY, at.now.date() + _DAY)}
    on_them = pl.col("birthday").dt.strftime("%m-%d").is_in(days)
    rows = members.filter(on_them).select("member_id", "birthday").rows()
    people = [at.ledger.identity.person(member) for member, _ in rows]
    zones = zones_of(at.ledger, channel, people)
    return [
        Born(member, birthday, zones[person])
        for (member, birthday), person in zip(rows, people, strict=True)
        if person in zones
    ]


def _days(first: date, last: date) -> Iterable[date]:
    """All dates from the first to the last, and 29 February where it may be kept on one of them."""
    days = [first + n * _DAY for n in range((last - first).days + 1)]
    kept = any((day.month, day.day) in ((2, 28), (3, 1)) for day in days)
    return [*days, date(2000, 2, 29)] if kept else days


def _congratulated(campaign: Campaign, at: Present) -> set[str]:
    """Person hashes of those who got this year's push, or are about to."""
    found = reached_since(at.ledger, campaign.campaign, at.now - _ONCE_A_YEAR)
    for plan in open_plans(at.ledger, [campaign.campaign]):
        rows = read_plan(plan.plan_id, at.plans).rows
        meant = rows.filter(pl.col("decision").is_in(["push", "held_out"]))["member_id"].to_list()
        found.update(map(at.ledger.identity.person, meant))
    return found


def _paid(campaign: Campaign, at: Present) -> Campaign:
    """The sums of a schedule are of each occasion: on top of what went before."""
    name, most, off = campaign.campaign, campaign.max_sends, campaign.discount_budget
    minor = at.settings.minor_units
    spent = spent_on(at.ledger, budget_purse(name)) / minor
    sent = spent_on(at.ledger, campaign_purse(name))
    promised = spent_on(at.ledger, discount_purse(name)) / minor
    return campaign.model_copy(
        update={
            "budget": campaign.budget + spent,
            "max_sends": None if most is None else most + sent,
            "discount_budget": None if off is None else off + promised,
        }
    )


def _start(occasion: str) -> datetime:
    """The instant in an occasion's name."""
    return datetime.fromisoformat(occasion.rpartition("@")[2]).astimezone(UTC)
