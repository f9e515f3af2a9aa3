"""The two steps of a campaign, joined from their parts: plan it, send it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np

from campaigns.account import Account, Assumed
from campaigns.audience import Tables
from campaigns.channels.outbox import Outbox
from campaigns.decide import make_plans
from campaigns.definition import Campaign
from campaigns.expired import release_expired
from campaigns.ledger.codes import coded_coupons
from campaigns.ledger.ledger import Ledger, open_ledger
from campaigns.ledger.plans import left
from campaigns.ledger.purses import budget_purse
from campaigns.message import Coupon, render, whole
from campaigns.naive import with_naive
from campaigns.offers import OfferSource
from campaigns.plan import (
    Plan,
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


@dataclass(frozen=True, slots=True)
class Composition:
    """What campaigns need from outside. `guesslike.py` fills it in."""

    settings: CampaignSettings
    now: Callable[[], datetime]
    clock: str
    """"system", or the name of another clock: a ledger belongs to one of them"""
    folder: Path
    """holds ledger.db, ledger.key, plans/ and outbox/"""
    dataset: Callable[[], Tables]
    offers: Callable[[Campaign, list[str], datetime], OfferSource]
    """values these coupon ids at an instant, under the campaign's assumptions"""

    @property
    def plans(self) -> Path:
        """Where plans lie."""
        return self.folder / "plans"

    def ledger_exists(self) -> bool:
        """Whether a ledger was made before; one by URL is taken to exist."""
        return self.settings.ledger_url is not None or (self.folder / "ledger.db").exists()

    def open_ledger(self) -> Ledger:
        """The ledger; close it."""
        url = self.settings.ledger_url or f"sqlite:///{self.folder / 'ledger.db'}"
        return open_ledger(url, self.folder / "ledger.key", clock=self.clock, now=self.now())


def plan_campaign(composition: Composition, campaign: Campaign) -> tuple[Plan, bool]:
    """`plan_together` for one campaign."""
    return plan_together(composition, [campaign])[0]


def plan_together(
    composition: Composition, campaigns: Sequence[Campaign], *, budget: float | None = None
) -> list[tuple[Plan, bool]]:
    """Decides, writes the plans, makes each the live one of its occasion.

    budget: money that all of them may spend together, what they spent so far included. The second
    value is False where this very plan was registered before.
    """
    draft = _draft(composition, campaigns)
    settings, now, folder = composition.settings, composition.now(), composition.plans
    total = None if budget is None else money(budget, settings)
    with composition.open_ledger() as ledger:
        release_expired(ledger, composition.dataset(), now=now)
        weighed = weigh(draft.drafts, ledger, plans=folder, settings=settings, now=now)
        spare = left(ledger, draft.merged)
        if total is not None:
            total = max(0, total - draft.spent(spare))
        shared = with_naive(weighed, share_out(weighed, spare=spare, total=total))
        assumed = Assumed(incremental_share=settings.incremental_share)
        made = make_plans(weighed, shared.noting(assumed=assumed), minor_units=settings.minor_units)
        done = []
        for plan, one, purses in zip(made, draft.drafts, draft.purses, strict=True):
            write_plan(plan, one.campaign, folder)
            new = register_plan(plan, one.campaign, ledger, purses=purses, folder=folder, now=now)
            done.append((plan, new))
    return done


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
    draft = _draft(composition, campaigns)
    settings, now = composition.settings, composition.now()
    asked = [money(budget, settings) for budget in budgets]
    with composition.open_ledger() as ledger:
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


def _draft(composition: Composition, campaigns: Sequence[Campaign]) -> _Drafts:
    settings, now, dataset = composition.settings, composition.now(), composition.dataset()
    issues = issue_limits(dataset)
    drafts, purses = [], []
    for one in campaigns:
        campaign = one.with_defaults(settings)
        # Sending reads nothing that may change.
        campaign = campaign.model_copy(update={"template": whole(campaign.template)})
        _try_template(campaign)
        coupons = campaign_coupons(campaign, dataset)
        check_coupons(campaign, coupons, dataset, now=now)
        members = audience_members(campaign, dataset, now=now)
        drafts.append(Draft(campaign, composition.offers(campaign, coupons, now), members))
        purses.append(purse_limits(campaign, coupons, issues=issues, settings=settings))
    return _Drafts(drafts, purses)


def _try_template(campaign: Campaign) -> None:
    """A template that does not render stops the plan, not the sending."""
    render(
        campaign.template,
        send_id="preview",
        to="somebody@example.invalid",
        title=campaign.title,
        coupon=Coupon("preview", "A coupon"),
        products=["A product"],
        valid_until=campaign.ends_at,
        unsubscribe="https://example.invalid/u/preview",
    )


def send_plan(composition: Composition, plan_id: str) -> SendReport:
    """Sends what is left of a plan through the outbox."""
    plan = read_plan(plan_id, composition.plans)
    with composition.open_ledger() as ledger:
        return send(
            plan,
            ledger,
            Outbox(composition.folder / "outbox", composition.settings.sender),
            render=plan_renderer(composition, plan, ledger),
            settings=composition.settings,
            now=composition.now,
            rng=np.random.default_rng(),
            reserving=read_definition(plan, composition.plans).discount_budget is not None,
        )


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
