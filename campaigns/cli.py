"""guesslike campaigns …: plan, send, prove, explain."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from campaigns import account_pages, codes_cli, control_cli, pages
from campaigns.audience import audience_fields
from campaigns.calendar import cli as calendar_cli
from campaigns.consent import import_consent
from campaigns.definition import load_campaign
from campaigns.explain import explain_member
from campaigns.ledger.plans import latest_plan, live_plans
from campaigns.ledger.preferences import preference
from campaigns.lift import cli as lift
from campaigns.plan import read_definition, read_plan
from campaigns.report import check_place, report, show_report, write_page
from campaigns.run import (
    Composition,
    plan_renderer,
    plan_together,
    send_or_wait,
    send_plan,
    what_if,
)
from campaigns.selftest import cli as selftest_cli
from campaigns.send import SendReport
from campaigns.verify import verify as verify_ledger
from campaigns.ways_in import cli as ways_in
from campaigns.ways_in.confirming import ask_all
from recsys.errors import CampaignError

app = typer.Typer(no_args_is_help=True, help="Decide whom to push what, send it once, prove it.")
consent_app = typer.Typer(no_args_is_help=True, help="Who agreed to be reached, and where.")
app.add_typer(consent_app, name="consent")
app.add_typer(codes_cli.app, name="codes")
app.add_typer(ways_in.app)
app.command("report")(lift.report)
app.command()(calendar_cli.run)
app.command()(calendar_cli.approve)
app.command("test-send")(calendar_cli.send_test)
app.command()(control_cli.pause)
app.command()(control_cli.resume)
app.command()(control_cli.cancel)
app.command()(selftest_cli.selftest)

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
PlanId = Annotated[
    str | None, typer.Option("--plan", help="A plan's id; by default the live ones, or the latest.")
]


@app.command()
def plan(
    ctx: typer.Context,
    campaign_files: list[Path],
    budget: Annotated[
        float | None, typer.Option(help="Money that all these campaigns may spend together.")
    ] = None,
    ask: Annotated[
        str | None,
        typer.Option(
            "--what-if", help="budget=A,B,C: what other budgets would earn. Plans nothing."
        ),
    ] = None,
    by: calendar_cli.By = "",
    as_json: Json = False,
) -> None:
    """Choose one coupon of one campaign for each member, over all these campaigns together."""
    composition = _composition(ctx)
    settings, console = composition.settings, Console(soft_wrap=True)
    fields = audience_fields(composition.dataset())
    campaigns = [load_campaign(file, fields).with_defaults(settings) for file in campaign_files]
    if ask is not None:
        if budget is not None:
            raise CampaignError("--what-if asks for budgets of its own; leave --budget out")
        budgets = _budgets(ask)
        with _busy("Asking", as_json):
            found = what_if(composition, campaigns, budgets)
        if as_json:
            _print_json({"what_if": account_pages.outlook_facts(found, settings)})
        else:
            account_pages.show_outlooks(console, found, settings)
        return
    with _busy("Planning", as_json):
        made = plan_together(composition, campaigns, budget=budget, by=by)
    together = made[0][0].account
    facts = [
        pages.plan_facts(one, campaign, settings) | {"new": new}
        for (one, new), campaign in zip(made, campaigns, strict=True)
    ]
    if as_json:
        _print_json(
            (facts[0] if len(facts) == 1 else {"plans": facts})
            | {"together": account_pages.account_facts(together, settings)}
        )
        return
    for (one, new), campaign in zip(made, campaigns, strict=True):
        pages.show_plan(console, one, campaign, settings, new=new)
    account_pages.show_account(console, together, settings)


@app.command()
def send(
    ctx: typer.Context,
    plan_id: Annotated[str | None, typer.Argument(help="All live plans by default.")] = None,
    as_json: Json = False,
) -> None:
    """Send what is left of a plan. Safe to run again, twice, or after a crash."""
    composition = _composition(ctx)
    with _busy("Sending", as_json):
        if plan_id:
            ended: list[SendReport | str] = [send_plan(composition, plan_id)]
        else:
            ended = [send_or_wait(composition, one) for one in _live(composition)]
    reports = [one for one in ended if isinstance(one, SendReport)]
    waiting = [one for one in ended if isinstance(one, str)]
    if as_json:
        facts = [pages.send_facts(report) for report in reports]
        _print_json({"plans": facts, "waiting": waiting})
    else:
        outbox = None if composition.settings.channels else composition.folder / "outbox"
        pages.show_sends(Console(soft_wrap=True), reports, outbox)
        for why in waiting:
            typer.echo(why)


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
    plans = [
        read_plan(one, composition.plans)
        for one in ([plan_id] if plan_id else _live_or_latest(composition))
    ]
    explained = [explain_member(composition, one, member, beside=plans) for one in plans]
    if as_json:
        _print_json({"plans": explained})
    else:
        pages.show_explanations(Console(soft_wrap=True), member, explained)


@app.command()
def show(
    ctx: typer.Context,
    plan_id: Annotated[
        str | None, typer.Argument(help="By default the live one, or the latest.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page for people.")] = None,
    as_json: Json = False,
) -> None:
    """Tell what a plan gives, costs and earns, against the last plan and a simpler one."""
    composition = _composition(ctx)
    if html is not None:
        check_place(html)
    with _busy("Adding up", as_json):
        made = report(composition, plan_id or _only_one(composition))
        if html is not None:
            write_page(made, html)
    if as_json:
        _print_json(asdict(made))
    else:
        show_report(Console(soft_wrap=True), made, html)


@app.command()
def preview(
    ctx: typer.Context,
    member: str,
    plan_id: PlanId = None,
    language: Annotated[
        str | None, typer.Option(help="Such as zh; by default the member's own.")
    ] = None,
) -> None:
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
            spoken = language or preference(ledger, member, rows[0]["channel"]).language
            message = render(member, rows[0]["coupon_id"], "preview", "(their address)", spoken)
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
        double = composition.settings.double_opt_in
        done = import_consent(file, ledger, now=composition.now(), double=double)
    if as_json:
        _print_json(asdict(done))
    else:
        pages.show_import(Console(soft_wrap=True), file, done)


@consent_app.command("ask")
def consent_ask(ctx: typer.Context, as_json: Json = False) -> None:
    """Write a message to everyone whose yes is to be confirmed, once. It is no push."""
    composition = _composition(ctx)
    with _busy("Asking", as_json):
        count = ask_all(composition)
    if as_json:
        _print_json({"asked": count})
    else:
        folder = composition.folder / "outbox"
        Console(soft_wrap=True).print(f"{count:,} asked to confirm, in {folder}", markup=False)


def _budgets(asked: str) -> list[float]:
    name, _, numbers = asked.partition("=")
    if name != "budget":
        raise CampaignError(f"--what-if knows budget=A,B,C, not '{asked}'")
    try:
        return [float(number) for number in numbers.split(",")]
    except ValueError:
        raise CampaignError(
            f"--what-if budget='{numbers}' must be numbers with commas between, such as 100,200"
        ) from None


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


def _only_one(composition: Composition) -> str:
    """The plan, if all that would do were planned together."""
    plans = [read_plan(one, composition.plans) for one in _live_or_latest(composition)]
    if any(one.account != plans[0].account for one in plans):
        known = ", ".join(f"{one.plan_id} ({one.occasion})" for one in plans)
        raise CampaignError(f"Several plans are live; name one: {known}")
    return plans[0].plan_id


def _busy(what: str, as_json: bool) -> Any:
    return Console(stderr=True, quiet=as_json).status(f"{what} …")


def _print_json(facts: dict[str, Any]) -> None:
    typer.echo(json.dumps(facts, ensure_ascii=False, default=str))
