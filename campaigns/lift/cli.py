"""guesslike campaigns report: what they earned."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from campaigns.lift.page import write_lift
from campaigns.lift.report import lift_report
from campaigns.lift.spoken import show_lift
from campaigns.report import check_place
from campaigns.run import Composition


def report(
    ctx: typer.Context,
    campaigns: Annotated[list[str], typer.Argument(metavar="CAMPAIGN", help="Their names.")],
    html: Annotated[Path | None, typer.Option(help="Write a page for people.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Tell what campaigns earned, by those who were held out."""
    composition = ctx.find_object(Composition)
    assert composition is not None
    if html is not None:
        check_place(html)
    with Console(stderr=True, quiet=as_json).status("Comparing …"):
        found = lift_report(composition, campaigns)
        if html is not None:
            write_lift(found, html)
    if as_json:
        typer.echo(json.dumps(asdict(found), ensure_ascii=False))
    else:
        show_lift(Console(soft_wrap=True), found, html)
