"""guesslike campaigns …: plan, send, prove, explain."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from campaigns import codes_cli, pages
from campaigns.consent import import_consent
from campaigns.definition import load_campaign
from campaigns.explain import explain_member
from campaigns.ledger.plans import latest_plan, live_plans
from campaigns.plan import read_definition, read_plan
from campaigns.run import Composition, plan_campaign, plan_renderer, send_plan
from campaigns.verify import verify as verify_ledger
from recsys.errors import CampaignError

app = typer.Typer(no_args_is_help=True, help="Decide whom to push what, send it once, prove it.")
consent_app = typer.Typer(no_args_is_help=True, help="Who agreed to be reached, and where.")
app.add_typer(consent_app, name="consent")
app.add_typer(codes_cli.app, name="codes")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
PlanId = Annotated[
    str | None, typer.Option("--plan", help="A plan's id; by default the live ones, or the latest.")
]


@app.command()
def plan(ctx: typer.Context, campaign_file: Path, as_json: Json = False) -> None:
    """Choose one coupon for each member of a campaign's audience."""
    composition = _composition(ctx)
    campaign = load_campaign(campaign_file).with_defaults(composition.settings)
    with _busy("Planning", as_json):
        made, new = plan_campaign(composition, campaign)
    if as_json:
        _print_json(pages.plan_facts(made, campaign, composition.settings) | {"new": new})
    else:
        pages.show_plan(Console(soft_wrap=True), made, campaign, composition.settings, new=new)


@app.command()
def send(
    ctx: typer.Context,
    plan_id: Annotated[str | None, typer.Argument(help="All live plans by default.")] = None,
    as_json: Json = False,
) -> None:
    """Send what is left of a plan. Safe to run again, twice, or after a crash."""
    composition = _composition(ctx)
    plan_ids = [plan_id] if plan_id else _live(composition)
    with _busy("Sending", as_json):
        reports = [send_plan(composition, one) for one in plan_ids]
    if as_json:
        _print_json({"plans": [pages.send_facts(report) for report in reports]})
    else:
        pages.show_sends(Console(soft_wrap=True), reports, composition.folder / "outbox")


@app.command()
def verify(ctx: typer.Context, as_json: Json = False) -> None:
    """Recompute from the ledger that every promise was kept; exit code 1 if one was not."""
    with _composition(ctx).open_ledger() as ledger:
        report = verify_ledger(ledger)
    if as_json:
        _print_json(asdict(report))
    else:
        pages.show_verification(Console(soft_wrap=True), report)
    if report.breaches:
        raise typer.Exit(1)


@app.command()
def why(ctx: typer.Context, member: str, plan_id: PlanId = None, as_json: Json = False) -> None:
    """Say what a plan decided for a member, and why."""
    composition = _composition(ctx)
    explained = [
        explain_member(composition, read_plan(one, composition.plans), member)
        for one in ([plan_id] if plan_id else _live_or_latest(composition))
    ]
    if as_json:
        _print_json({"plans": explained})
    else:
        pages.show_explanations(Console(soft_wrap=True), member, explained)


@app.command()
def preview(ctx: typer.Context, member: str, plan_id: PlanId = None) -> None:
    """Show the message that a member would get. Sends nothing."""
    composition = _composition(ctx)
    plans = [plan_id] if plan_id else _live_or_latest(composition)
    shown = 0
    for one in plans:
        made = read_plan(one, composition.plans)
        rows = [row for row in made.rows.iter_rows(named=True) if row["member_id"] == member]
        if not rows or rows[0]["decision"] != "push":
            continue
        with composition.open_ledger() as ledger:
            render = plan_renderer(composition, made, ledger)
            message = render(member, rows[0]["coupon_id"], "preview", "(their address)")
        pages.show_message(
            Console(soft_wrap=True), read_definition(made, composition.plans).title, message
        )
        shown += 1
    if not shown:
        raise CampaignError(f"No plan pushes to member '{member}'; ask `campaigns why {member}`")


@consent_app.command("import")
def consent_import(ctx: typer.Context, file: Path, as_json: Json = False) -> None:
    """Add the consent and contact points of a CSV file. Never reopens a suppression."""
    composition = _composition(ctx)
    with _busy("Importing consent", as_json), composition.open_ledger() as ledger:
        done = import_consent(file, ledger, now=composition.now())
    if as_json:
        _print_json(asdict(done))
    else:
        pages.show_import(Console(soft_wrap=True), file, done)


def _composition(ctx: typer.Context) -> Composition:
    found = ctx.find_object(Composition)
    if found is None:
        raise RuntimeError("ctx.obj must be a Composition before a campaigns command runs")
    return found


def _live(composition: Composition) -> list[str]:
    with composition.open_ledger() as ledger:
        plans = live_plans(ledger)
    if not plans:
        raise CampaignError("No plan is live; make one with `campaigns plan FILE`")
    return [one.plan_id for one in plans]


def _live_or_latest(composition: Composition) -> list[str]:
    with composition.open_ledger() as ledger:
        plans = live_plans(ledger)
        latest = latest_plan(ledger)
    if latest is None:
        raise CampaignError("There is no plan yet; make one with `campaigns plan FILE`")
    return [one.plan_id for one in plans or [latest]]


def _busy(what: str, as_json: bool) -> Any:
    return Console(stderr=True, quiet=as_json).status(f"{what} …")


def _print_json(facts: dict[str, Any]) -> None:
    typer.echo(json.dumps(facts, ensure_ascii=False, default=str))
