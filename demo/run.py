"""The demo's steps in their order, from an import to what `verify` proved."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
from rich.console import Console

from campaigns import pages
from campaigns.consent import import_consent
from campaigns.definition import load_campaign
from campaigns.plan import Plan
from campaigns.run import Composition as CampaignComposition
from campaigns.run import plan_campaign, send_plan
from campaigns.synthetic_consent import write_synthetic_consent
from campaigns.verify import verify
from demo import words
from demo.shop_window import open_shop
from demo.step import step
from recsys import artifact
from recsys.coupons import Terms
from recsys.dataset import Dataset
from recsys.errors import LedgerError
from serving.cli import Composition as ServingComposition
from training.config import TrainingSettings
from training.evaluate import evaluate
from training.importers import import_complete_journey
from training.publish import publish
from training.run import train
from training.shop import load

TESTED = timedelta(days=32)
"""the test begins so long before the end: 1 December 2017, whose numbers the documents give"""
OPENING = timedelta(hours=9)
"""the demo's morning, after the midnight that ends its data"""
CAMPAIGN = Path(__file__).with_name("campaign.yaml")


@dataclass(frozen=True, slots=True)
class Composition:
    """What the demo needs from outside. It touches nothing beyond `folder`."""

    folder: Path
    training: TrainingSettings
    serving: ServingComposition
    campaigns: Callable[[Callable[[], datetime]], CampaignComposition]
    """under a clock"""

    @property
    def dataset(self) -> Path:
        """The imported year, kept from run to run."""
        return self.folder / "dataset"


def play(at: Composition, console: Console, *, serve: bool) -> None:
    """All of it, and then the shop until it is stopped."""
    words.greet(console, at.folder)
    clear(at.folder)
    _import(at, console)
    begun = _train(at, console)
    now = at.serving.clock(begun.isoformat())
    _evaluate(at, console, as_of=begun - OPENING - TESTED)
    campaigns = at.campaigns(now)
    _consent(campaigns, at.folder / "consent.csv", console)
    plan = _plan(campaigns, at.folder / CAMPAIGN.name, at.serving.terms, console)
    _send(campaigns, plan, console)
    _verify(campaigns, console)
    if serve:
        open_shop(at.serving, plan, console, now=now)
    else:
        words.part(console, at.folder)


def clear(folder: Path) -> None:
    """Forget the run before; the imported dataset and the campaign file stay."""
    for name in ("models", "plans", "outbox"):
        if (folder / name).exists():
            shutil.rmtree(folder / name)
    for pattern in ("feed.db*", "ledger.db*", "ledger.key*", "ledger.mark", "consent.csv"):
        for left_over in folder.glob(pattern):
            left_over.unlink()


def _import(at: Composition, console: Console) -> None:
    with step(console, "Import", "a grocer's year, The Complete Journey by 84.51°") as progress:
        if Dataset(at.dataset).has("events"):
            console.print(f"It is in {at.dataset} already, from an earlier run.")
            return
        report = import_complete_journey(at.dataset, progress=progress)
        words.imported(console, report)


def _train(at: Composition, console: Console) -> datetime:
    """Train and publish; the morning after the data's last day."""
    models = at.serving.models
    with step(console, "Train", "what each member will buy next") as progress:
        version = train(Dataset(at.dataset), models, at.training, progress=progress)
        manifest = artifact.read_manifest(models, version)
        words.trained(console, manifest)
    begun = datetime.fromisoformat(manifest["as_of"]).replace(tzinfo=UTC) + OPENING
    with step(console, "Publish", "every file's checksum and the quality gate first"):
        publish(models, version, at.training, now=begun)
        words.published(console, version, begun)
    return begun


def _evaluate(at: Composition, console: Console, *, as_of: datetime) -> None:
    about = f"the same recipe, knowing only what was known before {as_of:%d %B %Y}"
    with step(console, "Evaluate", about) as progress:
        progress("reading the dataset")
        shop = load(Dataset(at.dataset))
        # the references would take as long as the training; the sources tell the same story
        found = evaluate(shop, as_of, at.training, references=False, progress=progress)
        words.evaluated(console, found.report)


def _consent(campaigns: CampaignComposition, file: Path, console: Console) -> None:
    with (
        step(console, "Consent", "made up, for the data has none"),
        campaigns.open_ledger() as ledger,
    ):
        now = campaigns.now()
        members = campaigns.dataset().scan("members").select("member_id").collect()["member_id"]
        granted = write_synthetic_consent(members.to_list(), file, at=now)
        import_consent(file, ledger, now=now)
        words.consented(console, file, granted, len(members))


def _plan(campaigns: CampaignComposition, file: Path, terms: Terms, console: Console) -> Plan:
    with step(console, "Plan", "one coupon for each member, or none") as progress:
        if not file.exists():
            shutil.copyfile(CAMPAIGN, file)
        campaign = load_campaign(file).with_defaults(campaigns.settings)
        progress("choosing coupons")
        plan, new = plan_campaign(campaigns, campaign)
        members = campaigns.dataset().scan("members").select(pl.len()).collect().item()
        words.audience(console, file, campaign, chosen=len(plan.rows), members=members)
        pages.show_plan(console, plan, campaign, campaigns.settings, new=new)
        words.assumed(console, terms)
    return plan


def _send(campaigns: CampaignComposition, plan: Plan, console: Console) -> None:
    outbox = campaigns.folder / "outbox"
    with step(console, "Send", "into a folder, where a person can open each message") as progress:
        progress(f"writing to {outbox}")
        pages.show_sends(console, [send_plan(campaigns, plan.plan_id)], outbox)
        words.first_message(console, outbox)


def _verify(campaigns: CampaignComposition, console: Console) -> None:
    with step(console, "Verify", "every promise, recomputed from the ledger"):
        with campaigns.open_ledger() as ledger:
            report = verify(ledger)
        pages.show_verification(console, report)
    if report.breaches:
        raise LedgerError(f"a promise is broken in {campaigns.folder}; see above")
