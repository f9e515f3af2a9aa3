"""The two steps of a campaign, joined from their parts: plan it, send it."""

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from types import MappingProxyType

import numpy as np

from campaigns.account import Account, Assumed
from campaigns.approval import awaited
from campaigns.audience import Tables
from campaigns.channels.contract import Channel
from campaigns.channels.opening import open_channel
from campaigns.decide import make_plans
from campaigns.definition import Campaign
from campaigns.expired import release_expired
from campaigns.ledger.codes import coded_coupons
from campaigns.ledger.identity import ChannelName
from campaigns.ledger.ledger import Ledger, open_ledger
from campaigns.ledger.plans import UNLIMITED, left
from campaigns.ledger.purses import budget_purse
from campaigns.message import try_out, whole
from campaigns.naive import with_naive
from campaigns.offers import Carried, OfferSource
from campaigns.plan import (
    Plan,
    affordable,
    money,
    purse_limits,
    read_definition,
    read_plan,
    register_plan,
    write_plan,
)
from campaigns.send import Render, SendReport, send
from campaigns.settings import CampaignSettings
from campaigns.share import share_out
from campaigns.shop import audience_members, campaign_coupons, check_coupons, issue_limits, renderer
from campaigns.weigh import Draft, weigh
from recsys.errors import CampaignError
from recsys.value import assumption


@dataclass(frozen=True, slots=True)
class Composition:
    """What campaigns need from outside. `guesslike.py` fills it in."""

    settings: CampaignSettings
    now: Callable[[], datetime]
    clock: str | None
    """"system", or the name of another clock: a ledger belongs to one of them; None: it is read,
    whichever it belongs to"""
    folder: Path
    """holds ledger.db, ledger.key, plans/ and outbox/"""
    dataset: Callable[[], Tables]
    offers: Callable[[Campaign, list[str], datetime], OfferSource]
    """values these coupon ids at an instant, under the campaign's assumptions"""

    @property
    def plans(self) -> Path:
        """Where plans lie."""
        return self.folder / "plans"

    def valued(self, campaign: Campaign, coupons: list[str], at: datetime) -> OfferSource:
        """`offers`, less what the campaign's channel takes for a message."""
        fee = self.settings.provider(campaign.channel).cost
        return Carried(self.offers(campaign, coupons, at), fee)

    def ledger_exists(self) -> bool:
        """Whether a ledger was made before; one by URL is taken to exist."""
        return self.settings.ledger_url is not None or (self.folder / "ledger.db").exists()

    def open_ledger(self) -> Ledger:
        """The ledger; close it."""
        url = self.settings.ledger_url or f"sqlite:///{self.folder / 'ledger.db'}"
        return open_ledger(url, self.folder / "ledger.key", clock=self.clock, now=self.now())

    def open_channel(self, name: ChannelName, *, window: timedelta) -> Channel:
        """The way out that the settings name; close it. Under a made-up clock nothing leaves.

        window: all calls of one send fall into so long a time.
        """
        if self.clock != "system" and not self.settings.provider(name).is_here:
            raise CampaignError(
                f"Messages of channel {name} would leave this machine under a simulated clock; "
                f"leave --clock out, or take {name} out of GUESSLIKE_CAMPAIGNS__CHANNELS"
            )
        return open_channel(name, self.settings, self.folder, window=window)


def plan_campaign(composition: Composition, campaign: Campaign) -> tuple[Plan, bool]:
    """`plan_together` for one campaign."""
    return plan_together(composition, [campaign])[0]


def plan_together(
    composition: Composition,
    campaigns: Sequence[Campaign],
    *,
    budget: float | None = None,
    among: Mapping[str, Collection[str]] = MappingProxyType({}),
    by: str = "",
    replace: bool = True,
) -> list[tuple[Plan, bool]]:
    """Decides, writes the plans, makes each the live one of its occasion.

    budget: money that all of them may spend together, what they spent so far included. among:
    occasion → the only members that it is for. by: who plans. Without `replace`, an occasion that
    ever had a plan keeps it. The second value is False where the plan was not registered now.
    """
    settings, now, folder = composition.settings, composition.now(), composition.plans
    total = None if budget is None else money(budget, settings)
    with composition.open_ledger() as ledger:
        draft = _draft(composition, campaigns, ledger, among)
        release_expired(ledger, composition.dataset(), now=now)
        weighed = weigh(draft.drafts, ledger, plans=folder, settings=settings, now=now)
        spare = left(ledger, draft.merged)
        if total is not None:
            total = max(0, total - draft.spent(spare))
        shared = with_naive(weighed, share_out(weighed, spare=spare, total=total))
        noted = shared.noting(**_basis(draft.drafts, settings))
        made = make_plans(
            weighed, noted, identity=ledger.identity, minor_units=settings.minor_units
        )
        done = []
        for plan, one, purses in zip(made, draft.drafts, draft.purses, strict=True):
            write_plan(plan, one.campaign, folder)
            new = register_plan(
                plan, one.campaign, ledger, purses=purses, folder=folder, now=now, by=by,
                replace=replace,
            )  # fmt: skip
            done.append((plan, new))
    return done


def _basis(drafts: Sequence[Draft], settings: CampaignSettings) -> dict[str, object]:
    """What the values of all drafts rest on, as the account says it."""
    basis = drafts[0].source.offers([]).basis
    share = settings.incremental_share
    assumed = Assumed(incremental_share=share) if basis == assumption(share) else None
    return {"basis": basis, "assumed": assumed}


@dataclass(frozen=True, slots=True)
class Outlook:
    """What one budget would come to."""

    budget: float
    cost: float
    pushes: int
    account: Account


def what_if(
    composition: Composition, campaigns: Sequence[Campaign], budgets: Sequence[float]
) -> list[Outlook]:
    """What other budgets would earn; writes nothing.

    A budget is the campaign's own where there is one campaign, otherwise that of all together,
    within each one's own.
    """
    settings, now = composition.settings, composition.now()
    asked = [money(budget, settings) for budget in budgets]
    with composition.open_ledger() as ledger:
        draft = _draft(composition, campaigns, ledger)
        weighed = weigh(
            draft.drafts, ledger, plans=composition.plans, settings=settings, now=now, keep=False
        )
        spare = left(ledger, draft.merged)
    found = []
    for budget, most in zip(budgets, asked, strict=True):
        rest = max(0, most - draft.spent(spare))
        if len(campaigns) == 1:
            own = {budget_purse(campaigns[0].campaign): rest}
            shared = share_out(weighed, spare=spare | own, total=None)
        else:
            shared = share_out(weighed, spare=spare, total=rest)
        cost, pushes = shared.given(weighed)
        found.append(Outlook(budget, cost / settings.minor_units, pushes, shared.account))
    return found


@dataclass(frozen=True, slots=True)
class _Drafts:
    drafts: list[Draft]
    purses: list[dict[str, int]]

    @property
    def merged(self) -> dict[str, int]:
        return {name: cap for some in self.purses for name, cap in some.items()}

    def spent(self, spare: Mapping[str, int]) -> int:
        """Minor units that these campaigns spent so far."""
        names = [budget_purse(one.campaign.campaign) for one in self.drafts]
        return sum(self.merged[name] - spare[name] for name in names)


def check_campaign(composition: Composition, campaign: Campaign, ledger: Ledger) -> None:
    """CampaignError or FilterError for what keeps it from being planned, whatever is due beside."""
    _draft(composition, [campaign], ledger)


def _draft(
    composition: Composition,
    campaigns: Sequence[Campaign],
    ledger: Ledger,
    among: Mapping[str, Collection[str]] = MappingProxyType({}),
) -> _Drafts:
    settings, now, dataset = composition.settings, composition.now(), composition.dataset()
    issues = issue_limits(dataset)
    drafts, purses = [], []
    for one in campaigns:
        campaign = one.with_defaults(settings)
        # Sending reads nothing that may change.
        template = whole(campaign.template, campaign.channel)
        campaign = campaign.model_copy(update={"template": template})
        try_out(campaign)
        coupons = campaign_coupons(campaign, dataset)
        check_coupons(campaign, coupons, dataset, now=now)
        members = audience_members(campaign, dataset, ledger=ledger, now=now)
        only = among.get(campaign.occasion)
        members = [one for one in members if only is None or one in only]
        source = composition.valued(campaign, coupons, now)
        within = affordable(campaign, source.offers([]), settings)
        each = campaign.max_per_coupon or UNLIMITED
        paid = [coupon for coupon, most in within.items() if most < each]
        drafts.append(Draft(campaign, source, members, paid))
        purses.append(
            purse_limits(campaign, coupons, issues=issues, affordable=within, settings=settings)
        )
    return _Drafts(drafts, purses)


def send_plan(composition: Composition, plan_id: str) -> SendReport:
    """Sends what is left of a plan; CampaignError for one that waits for approval."""
    ended = send_or_wait(composition, plan_id)
    if isinstance(ended, str):
        raise CampaignError(ended)
    return ended


def send_or_wait(composition: Composition, plan_id: str) -> SendReport | str:
    """Sends what is left of a plan, over its campaign's channel, or tells why it may not be yet."""
    plan = read_plan(plan_id, composition.plans)
    campaign = read_definition(plan, composition.plans)
    window = campaign.ends_at - campaign.starts_at
    with (
        closing(composition.open_channel(campaign.channel, window=window)) as channel,
        composition.open_ledger() as ledger,
    ):
        if (why := _held_back(composition, plan, ledger)) is not None:
            return why
        return send(
            plan,
            ledger,
            channel,
            render=plan_renderer(composition, plan, ledger),
            settings=composition.settings,
            now=composition.now,
            rng=np.random.default_rng(),
            reserving=campaign.discount_budget is not None,
        )


def _held_back(composition: Composition, plan: Plan, ledger: Ledger) -> str | None:
    """Why a plan may not be sent yet; None if it may, or if its window is over and it is closed."""
    if plan.rows.is_empty() or composition.now() > plan.rows["send_not_after"][0]:
        return None
    return awaited(plan, ledger, composition.settings)


def plan_renderer(composition: Composition, plan: Plan, ledger: Ledger) -> Render:
    """Renders the plan's messages."""
    return renderer(
        read_definition(plan, composition.plans),
        composition.dataset(),
        pairs=plan.rows,
        identity=ledger.identity,
        public_url=composition.settings.public_url,
        now=composition.now(),
        coded=coded_coupons(ledger),
    )
