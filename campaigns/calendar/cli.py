"""guesslike campaigns run, approve, test-send: what comes round, under the eyes of two people."""

import json
import sys
import time
from dataclasses import asdict
from datetime import UTC
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from campaigns import pages
from campaigns.audience import audience_fields
from campaigns.calendar.dated import Dated, Repeating, load_dated
from campaigns.calendar.running import Ran, run_due
from campaigns.ledger.events import approve as approve_plan
from campaigns.run import Composition
from campaigns.seeds import send_tests
from recsys.errors import CampaignError, GuesslikeError

_SECONDS = 60
"""between two rounds"""

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
By = Annotated[str, typer.Option(help="Who does it.", envvar="USER", show_envvar=True)]


def run(
    ctx: typer.Context,
    campaign_files: list[Path],
    once: Annotated[
        bool, typer.Option("--once", help="One round, for cron. Without it, one every minute.")
    ] = False,
    by: By = "",
    as_json: Json = False,
) -> None:
    """Plan what is due and send what is planned. Safe to run again, twice at once, or late."""
    composition = _composition(ctx)
    if once:
        ran = _round(composition, campaign_files, by)
        _tell(composition, ran, as_json)
        if ran.failed:
            raise CampaignError("\n".join(ran.failed))
        return
    _keep_running(composition, campaign_files, by, as_json)


def approve(
    ctx: typer.Context,
    plan_id: str,
    by: Annotated[str, typer.Option(help="Who approves: not who planned it.")],
    as_json: Json = False,
) -> None:
    """Let a large plan be sent. Takes a second person."""
    if not by.strip():
        raise CampaignError("Say who approves: --by NAME")
    composition = _composition(ctx)
    with composition.open_ledger() as ledger:
        new = approve_plan(ledger, plan_id, by=by.strip(), now=composition.now())
    if as_json:
        _print_json({"plan": plan_id, "approved_by": by.strip(), "new": new})
    else:
        said = "is approved and will be sent" if new else "was approved before"
        Console(soft_wrap=True).print(f"Plan {plan_id} {said}.", markup=False)


def send_test(
    ctx: typer.Context,
    campaign_file: Path,
    to: Annotated[Path, typer.Option(help="CSV file: address[,member_id,coupon_id,language]")],
    by: By = "",
    as_json: Json = False,
) -> None:
    """Send the message to the shop's own people first, marked [TEST]. Takes no slot or money."""
    composition = _composition(ctx)
    dated = _load(composition, campaign_file)
    campaign = dated.example if isinstance(dated, Repeating) else dated
    done = send_tests(composition, campaign, to, by=by)
    if as_json:
        _print_json({"made": dict(done.made), "suppressed": done.suppressed})
        return
    console = Console(soft_wrap=True)
    for state, count in done.made.items():
        console.print(f"{count:,} test messages {state}")
    if done.suppressed:
        console.print(f"{done.suppressed:,} addresses stopped messages: nothing is sent to them")


def _load(composition: Composition, path: Path) -> Dated:
    return load_dated(path, audience_fields(composition.dataset()))


def _round(composition: Composition, files: list[Path], by: str) -> Ran:
    return run_due(composition, [_load(composition, file) for file in files], by=by)


def _keep_running(composition: Composition, files: list[Path], by: str, as_json: bool) -> None:
    """Until it is stopped; what is wrong is told, and tried again a minute later."""
    while True:
        try:
            ran = _round(composition, files, by)
        except GuesslikeError as error:
            typer.echo(f"guesslike: {error}", err=True)
        else:
            if ran.is_news:
                _tell(composition, ran, as_json)
            for problem in ran.failed:
                typer.echo(f"guesslike: {problem}", err=True)
        sys.stdout.flush()
        time.sleep(_SECONDS)


def _tell(composition: Composition, ran: Ran, as_json: bool) -> None:
    if as_json:
        _print_json(
            {
                "planned": [
                    {"plan": plan.plan_id, "occasion": plan.occasion,
                     "decisions": dict(plan.counts().most_common())}
                    for plan in ran.planned
                ],
                "missed": [asdict(one) for one in ran.missed],
                "sent": [pages.send_facts(report) for report in ran.sent],
                "waiting": ran.waiting,
                "failed": ran.failed,
            }
        )  # fmt: skip
        return
    console = Console(soft_wrap=True)
    now = composition.now().astimezone(UTC)
    console.print(f"{now:%Y-%m-%d %H:%M} UTC", highlight=False)
    for plan in ran.planned:
        pushes = plan.counts()["push"]
        console.print(f"Planned {plan.occasion}: {pushes:,} pushes, plan {plan.plan_id}",
                      markup=False)  # fmt: skip
    for one in ran.missed:
        console.print(f"Missed {one.occasion}: {one.reason}", markup=False)
    for why in ran.waiting:
        console.print(why, markup=False)
    pages.show_sends(console, ran.sent, composition.folder / "outbox")
    if not (ran.planned or ran.missed or ran.sent or ran.waiting or ran.failed):
        console.print("Nothing is due.")


def _composition(ctx: typer.Context) -> Composition:
    found = ctx.find_object(Composition)
    if found is None:
        raise RuntimeError("ctx.obj must be a Composition before a campaigns command runs")
    return found


def _print_json(facts: dict[str, Any]) -> None:
    typer.echo(json.dumps(facts, ensure_ascii=False, default=str))
