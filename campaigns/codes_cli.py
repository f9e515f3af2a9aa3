"""guesslike campaigns codes …: pools of coupon codes in, their states out."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.status import Status

from campaigns import pages
from campaigns.codes import export_codes, import_codes
from campaigns.run import Composition

app = typer.Typer(no_args_is_help=True, help="Coupon codes: pools in, their states out.")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@app.command("import")
def codes_import(ctx: typer.Context, file: Path, as_json: Json = False) -> None:
    """Add the codes of a CSV file to their coupons; from then on each send takes one."""
    at = _composition(ctx)
    with _busy("Importing codes", as_json), at.open_ledger() as ledger:
        done = import_codes(file, ledger, at.dataset(), now=at.now())
    if as_json:
        typer.echo(json.dumps(asdict(done), ensure_ascii=False))
        return
    console = Console(soft_wrap=True)
    pages.show_import(console, file, done, "codes")
    for coupon, pool in done.pools.items():
        states = f"{pool.free:,} free, {pool.sent:,} sent, {pool.redeemed:,} redeemed"
        console.print(f"Coupon {coupon}: {states}", markup=False)


@app.command("export")
def codes_export(ctx: typer.Context, file: Path, as_json: Json = False) -> None:
    """Write every code with its state, for the checkout. Replaces the file whole."""
    with _busy("Exporting codes", as_json), _composition(ctx).open_ledger() as ledger:
        count = export_codes(ledger, file)
    if as_json:
        typer.echo(json.dumps({"file": str(file), "codes": count}, ensure_ascii=False))
    else:
        Console(soft_wrap=True).print(f"{count:,} codes written to {file}", markup=False)


def _composition(ctx: typer.Context) -> Composition:
    found = ctx.find_object(Composition)
    if found is None:
        raise RuntimeError("ctx.obj must be a Composition before a campaigns command runs")
    return found


def _busy(what: str, as_json: bool) -> Status:
    return Console(stderr=True, quiet=as_json).status(f"{what} …")
