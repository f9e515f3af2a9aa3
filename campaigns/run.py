"""The two steps of a campaign, joined from their parts: plan it, send it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from campaigns.audience import Tables
from campaigns.channels.outbox import Outbox
from campaigns.decide import make_plan
from campaigns.definition import Campaign
from campaigns.ledger.codes import coded_coupons
from campaigns.ledger.ledger import Ledger, open_ledger
from campaigns.message import Coupon, Message, render, whole
from campaigns.offers import OfferSource
from campaigns.plan import Plan, purse_limits, read_definition, read_plan, register_plan, write_plan
from campaigns.send import SendReport, send
from campaigns.settings import CampaignSettings
from campaigns.shop import audience_members, campaign_coupons, issue_limits, renderer


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
    """Decides, writes the plan, makes it the live one of its occasion.

    The second value is False where this very plan was registered before.
    """
    settings, now = composition.settings, composition.now()
    campaign = campaign.with_defaults(settings)
    campaign = campaign.model_copy(update={"template": whole(campaign.template)})
    _try_template(campaign)
    dataset = composition.dataset()
    coupons = campaign_coupons(campaign, dataset)
    members = audience_members(campaign, dataset, now=now)
    source = composition.offers(campaign, coupons, now)
    purses = purse_limits(campaign, coupons, issues=issue_limits(dataset), settings=settings)
    with composition.open_ledger() as ledger:
        plan = make_plan(
            campaign,
            ledger,
            source,
            members=members,
            purses=purses,
            settings=settings,
            now=now,
        )
        write_plan(plan, campaign, composition.plans)
        new = register_plan(
            plan, campaign, ledger, purses=purses, folder=composition.plans, now=now
        )
    return plan, new


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
        )


def plan_renderer(
    composition: Composition, plan: Plan, ledger: Ledger
) -> Callable[[str, str, str, str], Message]:
    """Renders the plan's messages: (member id, coupon id, send id, address) → message."""
    return renderer(
        read_definition(plan, composition.plans),
        composition.dataset(),
        pairs=plan.rows,
        identity=ledger.identity,
        public_url=composition.settings.public_url,
        now=composition.now(),
        coded=coded_coupons(ledger),
    )
