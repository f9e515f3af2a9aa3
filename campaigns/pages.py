"""What campaign commands say, in plain words for people and as facts for programs."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from campaigns.account import amount
from campaigns.codes import ImportedCodes
from campaigns.definition import Campaign
from campaigns.message import Message
from campaigns.plan import Plan
from campaigns.send import SendReport
from campaigns.settings import CampaignSettings
from campaigns.verify import Report
from campaigns.ways_in.rows import Imported

DECISIONS = {
    "push": "get a push",
    "held_out": "are held out, to measure what the pushes earn",
    "no_consent": "have not consented",
    "suppressed": "are on the suppression list",
    "capped": "had a push too recently",
    "already_sent": "got this campaign's push before",
    "no_offer_worth_it": "have no coupon that is worth more than it costs",
    "budget": "would need more budget",
    "discount_budget": "would need more of the discount budget",
    "coupon_limit": "would need more of their coupons",
    "campaign_limit": "are beyond the campaign's number of sends",
    "minimum": "get none, for the campaign does not run",
    "elsewhere": "get another campaign's push",
    "kept": "have their slot kept for a campaign that is planned already",
    "quiet_hours": "are in their quiet hours until the window is over",
    "scheduled": "get an earlier campaign's push first",
}
_OUTCOMES = {
    "accepted": "sent",
    "unknown": "unknown whether they arrived",
    "held_out": "held out",
    "expired": "too late for the window",
    "cancelled": "cancelled",
}
_EXAMPLES = 5
_REJECTS_SHOWN = 10


def plan_facts(plan: Plan, campaign: Campaign, settings: CampaignSettings) -> dict[str, Any]:
    """The plan in numbers, with the assumptions it rests on."""
    pushed = plan.rows.filter(pl.col("decision") == "push")
    return {
        "plan": plan.plan_id,
        "campaign": campaign.campaign,
        "occasion": plan.occasion,
        "members": len(plan.rows),
        "decisions": dict(plan.counts().most_common()),
        "cost": (pushed["cost"].sum() or 0) / settings.minor_units,
        "budget": campaign.budget,
        "expected_value": float(pushed["expected_value"].sum()),
        "basis": plan.account.basis,
        "assumptions": {
            "margin_rate": campaign.margin_rate,
            "coupon_value": campaign.coupon_value,
            "holdout": campaign.holdout,
        }
        | (plan.account.assumed.model_dump() if plan.account.assumed else {}),
    }


def show_plan(
    console: Console, plan: Plan, campaign: Campaign, settings: CampaignSettings, *, new: bool
) -> None:
    """Who gets which coupon and why."""
    facts = plan_facts(plan, campaign, settings)
    console.print(f"[bold]{escape(campaign.title)}[/] · plan {plan.plan_id}")
    if not new:
        console.print("This very plan was made before; nothing changed.")
    for decision, count in facts["decisions"].items():
        console.print(f"  {count:>7,} members {DECISIONS.get(decision, decision)}")
    console.print(
        f"Expected profit {facts['expected_value']:,.2f}; cost {facts['cost']:,.2f} of a budget of "
        f"{campaign.budget:,.2f}.\nAssumed, because the data does not say: margin_rate "
        f"{campaign.margin_rate}, coupon_value {campaign.coupon_value}.\nWhat a push brings is "
        f"{facts['basis']}."
    )
    best = plan.rows.filter(pl.col("decision") == "push").sort(
        ["expected_value", "member_id"], descending=[True, False]
    )
    if len(best):
        table = Table("member", "coupon", "worth", "because", box=None)
        for row in best.head(_EXAMPLES).iter_rows(named=True):
            worth = f"{row['expected_value']:.2f}"
            table.add_row(*(escape(t) for t in (row["member_id"], row["coupon_id"], worth)),
                          escape(row["reason"]))  # fmt: skip
        console.print(table)


def send_facts(report: SendReport) -> dict[str, Any]:
    """One run in numbers."""
    return {
        "plan": report.plan_id,
        "made": dict(report.made),
        "outcomes": dict(report.outcomes.most_common()),
        "waiting": report.waiting,
        "quiet": report.quiet,
        "late": report.late,
        "held_up": report.held_up,
        "unknown_zones": report.unknown_zones,
        "next_at": None if report.next_at is None else report.next_at.isoformat(),
        "done": report.done,
    }


def show_sends(console: Console, reports: Sequence[SendReport], outbox: Path | None) -> None:
    """What was sent now, and where every row of the plans stands. outbox: where all went there."""
    where = "" if outbox is None else f", to {outbox}"
    for report in reports:
        console.print(f"Plan {report.plan_id}: {report.made['accepted']:,} sent now{where}")
        for outcome, count in report.outcomes.most_common():
            reason = outcome.removeprefix("skipped: ")
            said = _OUTCOMES.get(outcome) or f"not sent: they {DECISIONS.get(reason, reason)}"
            console.print(f"  {count:>7,} {said}")
        if report.held_up is not None:
            console.print(f"  held up: {report.held_up}")
        if report.waiting:
            when = "" if report.next_at is None else f"; the first may go at {report.next_at}"
            console.print(f"  {report.waiting:>7,} still wait{when}. Run send again.")
        if report.quiet:
            console.print(f"  {report.quiet:>7,} of them are in their quiet hours")
        if report.late:
            console.print(f"  {report.late:>7,} of them wait for the last tenth of the window")
        if report.unknown_zones:
            console.print(
                f"  {report.unknown_zones:>7,} have no known time zone: their quiet hours are "
                "longer, by the clock of quiet_zone. Import `timezone` with consent"
            )


def show_verification(console: Console, report: Report) -> None:
    """The proof, or the breaches."""
    console.print(
        f"{report.pushes:,} pushes to {report.people:,} people at {report.contacts:,} contact "
        f"points, {report.held_out:,} held out, {report.plans:,} plans."
    )
    if not report.breaches:
        console.print(
            "[green]Kept:[/] no two pushes within 7 days to a person or a contact point, none "
            "without consent, none suppressed, none held out; every sum adds up."
        )
    for rule, count in Counter(breach.rule for breach in report.breaches).items():
        console.print(f"[red]Broken:[/] {rule}, {count:,} times")
    for breach in report.breaches:
        console.print(f"  {escape(breach.text)}")


def show_explanations(console: Console, member: str, plans: Sequence[dict[str, Any]]) -> None:
    """Why this coupon for the member, and what else there was."""
    for facts in plans:
        said = DECISIONS.get(facts["decision"], facts["decision"])
        console.print(f"[bold]Campaign {escape(facts['campaign'])}[/], plan {facts['plan']}")
        console.print(f"Members like {escape(member)} here {said}: {escape(facts['reason'])}")
        if facts.get("to_change"):
            console.print(f"To change it, {escape(facts['to_change'])}")
        if facts.get("coupon_id"):
            worth = f"{facts['expected_value']:.2f}"
            console.print(f"Coupon {escape(facts['coupon_id'])}, worth {worth}")
            if facts["basis"]:
                console.print(f"What a push brings is {escape(facts['basis'])}.")
        if facts.get("outcome"):
            console.print(f"Outcome: {facts['outcome']}")
        if facts.get("last_push_ended"):
            console.print(f"Last push ended {facts['last_push_ended']}")
        for one in facts.get("best_coupons", []):
            console.print(
                f"  {amount(one['value']):>8}  {escape(one['coupon_id'])}  "
                f"({one['probability']:.1%})  {escape(one['why'])}"
            )
            for name, paid in one["pays"].items():
                console.print(f"  {amount(-paid):>8}    {escape(name)}")
            if "to_change" in one:
                console.print(f"              {escape(one['to_change'])}")


def show_message(console: Console, title: str, message: Message) -> None:
    """One message as text."""
    console.print(f"[bold]{escape(title)}[/]\nSubject: {escape(message.subject)}\n")
    console.print(escape(message.text))


def show_import(
    console: Console, file: Path, done: Imported | ImportedCodes, what: str = "statements"
) -> None:
    """How an import went, reject by reject."""
    console.print(f"{file}: {done.new:,} new {what}, {done.known:,} known before")
    if done.rejects:
        console.print(f"[yellow]{len(done.rejects):,} rows left out:[/]")
    for reject in done.rejects[:_REJECTS_SHOWN]:
        console.print(f"  row {reject.row}, {reject.column}: {reject.rule}")
    if len(done.rejects) > _REJECTS_SHOWN:
        console.print(f"  … and {len(done.rejects) - _REJECTS_SHOWN:,} more; --json lists all")
