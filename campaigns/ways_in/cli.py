"""guesslike campaigns …: lists in, members merged, a restored ledger opened again."""

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from campaigns import pages
from campaigns.run import Composition
from campaigns.ways_in.imports import import_contacts, import_pushes, import_suppressions
from campaigns.ways_in.merges import import_merges, merge_members
from campaigns.ways_in.restore import restore
from campaigns.ways_in.rows import Imported
from recsys.errors import CampaignError

app = typer.Typer()
suppressions_app = typer.Typer(no_args_is_help=True, help="Who must never be reached.")
contacts_app = typer.Typer(no_args_is_help=True, help="Where members are reached.")
merges_app = typer.Typer(no_args_is_help=True, help="Members who are one person.")
pushes_app = typer.Typer(no_args_is_help=True, help="What other senders pushed.")
app.add_typer(suppressions_app, name="suppressions")
app.add_typer(contacts_app, name="contacts")
app.add_typer(pushes_app, name="pushes")
app.add_typer(merges_app, name="merges")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@suppressions_app.command("import")
def suppressions_import(ctx: typer.Context, file: Path, as_json: Json = False) -> None:
    """Add the members and contact points of a CSV file that must never be reached."""
    _import(ctx, file, "suppressions", import_suppressions, as_json)


@contacts_app.command("import")
def contacts_import(ctx: typer.Context, file: Path, as_json: Json = False) -> None:
    """Add the contact points of a CSV file, without any consent."""
    _import(ctx, file, "contact points", import_contacts, as_json)


@pushes_app.command("import")
def pushes_import(
    ctx: typer.Context,
    file: Path,
    source: Annotated[str, typer.Option(help="Who sent them.")] = "import",
    as_json: Json = False,
) -> None:
    """Add the pushes of an older sender from a CSV file, so that the cap counts them."""
    _import(ctx, file, "pushes", partial(import_pushes, source=source), as_json)


@merges_app.command("import")
def merges_import(ctx: typer.Context, file: Path, as_json: Json = False) -> None:
    """Merge the members of a CSV file, each pair of whom is one person."""
    _import(ctx, file, "merges", import_merges, as_json)


@app.command("merge")
def merge_command(ctx: typer.Context, merged: str, survivor: str, as_json: Json = False) -> None:
    """Take MERGED, who is the same person, into SURVIVOR. It cannot be undone."""
    at = composition_of(ctx)
    with at.open_ledger() as ledger:
        new = merge_members(ledger, merged, survivor, now=at.now())
    if as_json:
        _print_json({"merged": merged, "survivor": survivor, "new": new})
        return
    said = "is merged" if new else "was merged before"
    Console(soft_wrap=True).print(f"{merged} {said} into {survivor}.", markup=False)


@app.command("restore")
def restore_command(
    ctx: typer.Context,
    reopen: Annotated[bool, typer.Option("--reopen", help="Begin a new epoch.")] = False,
    provider_log: Annotated[
        Path | None,
        typer.Option(help="CSV of all that was sent since the copy; sending may begin at once."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Open a ledger again that was put back from a copy."""
    if not reopen:
        raise CampaignError(
            "This closes the ledger for sending for a week, or takes in --provider-log FILE. "
            "If that is meant, add --reopen"
        )
    done = restore(composition_of(ctx), provider_log)
    if as_json:
        _print_json(asdict(done) | {"opens_at": done.opens_at})
        return
    console = Console(soft_wrap=True)
    console.print(
        f"The ledger as it was put back ends at {done.reopened.known_until}; a new epoch has begun."
        f" {done.reopened.stranded:,} calls in flight then are unknown now."
    )
    if done.log is not None and provider_log is not None:
        pages.show_import(console, provider_log, done.log, "pushes")
    if done.is_open:
        console.print("Sending may begin.")
    else:
        console.print(f"Nothing is sent before {done.opens_at}.")
    if done.log is not None and not done.is_open:
        raise CampaignError(
            "The log was not taken in whole: mend the rows above, and run the same again"
        )


def _import(
    ctx: typer.Context, file: Path, what: str, read: Callable[..., Imported], as_json: bool
) -> None:
    at = composition_of(ctx)
    busy = Console(stderr=True, quiet=as_json).status(f"Importing {what} …")
    with busy, at.open_ledger() as ledger:
        done = read(file, ledger, now=at.now())
    if as_json:
        _print_json(asdict(done))
    else:
        pages.show_import(Console(soft_wrap=True), file, done, what)


def composition_of(ctx: typer.Context) -> Composition:
    """What the command works on."""
    found = ctx.find_object(Composition)
    if found is None:
        raise RuntimeError("ctx.obj must be a Composition before a campaigns command runs")
    return found


def _print_json(facts: dict[str, object]) -> None:
    typer.echo(json.dumps(facts, ensure_ascii=False, default=str))
