"""guesslike keys: make, list and revoke keys, and renew what member tokens are signed with."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from serving.doors import keys, tokens

META = "guesslike.doors"

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


@dataclass(frozen=True, slots=True)
class Composition:
    """What these commands need from outside, under META in the context's `meta`."""

    folder: Path
    now: Callable[[], datetime]


app = typer.Typer(no_args_is_help=True, help="Keys that open the service, and token secrets.")


@app.command("add")
def add_command(
    ctx: typer.Context,
    kind: Annotated[keys.Kind, typer.Option("--kind")],
    name: Annotated[str, typer.Option("--name", help="What uses it, for the list.")] = "",
    as_json: Json = False,
) -> None:
    """Make a key and show it this once. The first one closes the doors."""
    at = _composition(ctx)
    key, text = keys.add(at.folder, kind, name=name, now=at.now())
    if as_json:
        _print_json({"id": key.id, "kind": key.kind, "name": key.name, "key": text})
        return
    typer.echo(text)
    note = f"This is the {kind} key {key.id}. It is not kept and cannot be shown again."
    typer.echo(note, err=True)  # apart from the key, which may be led into a file


@app.command("list")
def list_command(ctx: typer.Context, as_json: Json = False) -> None:
    """Every key that was made, and whether it still opens."""
    facts = [_facts(key) for key in keys.read(_composition(ctx).folder)]
    if as_json:
        _print_json({"keys": facts})
        return
    if not facts:
        typer.echo("No key was ever made: the doors are open, to this machine alone.")
        return
    table = Table("id", "kind", "name", "created", "revoked", box=None)
    for one in facts:
        table.add_row(*(escape(str(value or "")) for value in one.values()))
    Console(soft_wrap=True).print(table)


@app.command("revoke")
def revoke_command(ctx: typer.Context, key_id: str, as_json: Json = False) -> None:
    """Shut a key out, and the tokens made with it: within a second, without a restart."""
    at = _composition(ctx)
    key = keys.revoke(at.folder, key_id, now=at.now())
    if as_json:
        _print_json(_facts(key))
    else:
        typer.echo(f"The {key.kind} key {key.id} opens nothing any more.")


@app.command("renew-signing")
def renew_command(ctx: typer.Context, as_json: Json = False) -> None:
    """Sign member tokens with a new secret. The one before it opens until the next renewal."""
    at = _composition(ctx)
    tokens.renew(at.folder, now=at.now())
    ids = [secret.id for secret in tokens.read(at.folder)]
    if as_json:
        _print_json({"signing": ids[-1], "opening": ids})
    else:
        before = f"; {ids[0]} still opens" if len(ids) > 1 else ""
        typer.echo(f"Tokens are signed with secret {ids[-1]} now{before}.")


def _composition(ctx: typer.Context) -> Composition:
    return cast(Composition, ctx.meta[META])


def _facts(key: keys.Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "kind": key.kind,
        "name": key.name,
        "created": key.created.isoformat(timespec="seconds"),
        "revoked": key.revoked and key.revoked.isoformat(timespec="seconds"),
    }


def _print_json(facts: dict[str, Any]) -> None:
    typer.echo(json.dumps(facts, ensure_ascii=False))
