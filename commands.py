"""The command line: each package's own commands, and those that need more than one package."""

import asyncio
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

import campaigns.cli
import demo.run
import serving.cli
import serving.doors.cli
import training.cli
import training.redemption.cli
from campaigns.retention import forget_plans
from composition import Settings, campaign_composition, clock, load_settings, serving_composition
from recsys import artifact
from recsys.dataset import Dataset
from recsys.errors import SettingsError
from recsys.model import Model
from serving.doors.door import check_address
from serving.placements_file import load_placements
from training.publish import prune, publish
from training.run import train

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Guess you like (猜你喜欢): what each member gets to see, and one coupon a week.",
)
app.add_typer(training.cli.app)
app.add_typer(training.redemption.cli.app)
app.add_typer(serving.cli.app)
app.add_typer(serving.doors.cli.app, name="keys")


@app.callback()
def compose(ctx: typer.Context) -> None:
    """Build the settings once and hand each package what it declared."""
    settings = load_settings(dict(os.environ))
    ctx.obj = settings
    ctx.meta[training.cli.META] = training.cli.Composition(
        settings.training, settings.models, clock(None), partial(misfits, settings)
    )
    ctx.meta[serving.cli.META] = serving_composition(settings)
    ctx.meta[serving.doors.cli.META] = serving.doors.cli.Composition(settings.home, clock(None))


def compose_campaigns(ctx: typer.Context, clock_start: serving.cli.Clock = None) -> None:
    """Decide whom to push what, send it once, prove it."""
    settings = ctx.find_object(Settings)
    assert settings is not None
    if clock_start is None:
        ctx.obj = campaign_composition(settings, clock(None), name="system")
        return
    ctx.obj = at = campaign_composition(settings, clock(clock_start), name="simulated")
    if at.ledger_exists():
        # time does not go back: an earlier command under this clock has moved it on
        with at.open_ledger() as ledger:
            seen = ledger.highest_instant()
        later = clock(max(at.now(), seen).isoformat())
        ctx.obj = campaign_composition(settings, later, name="simulated")


app.add_typer(campaigns.cli.app, name="campaigns", callback=compose_campaigns)


def misfits(settings: Settings, model: Model) -> list[str]:
    """What the shop's placements have against a model: workers would refuse it, or show nothing."""
    return load_placements(settings.serving.placements).misfits(model)


@app.command()
def retrain(ctx: typer.Context, dataset: Path, as_json: training.cli.Json = False) -> None:
    """Drain, train, publish, keep the latest five of a month: the one line for cron."""
    settings: Settings = ctx.obj
    at = serving_composition(settings)
    now = clock(None)
    # a bad file is told of now, not after all the work
    tried = load_placements(settings.serving.placements).models
    with _alone(settings.home / "retrain.lock", "retrain"), training.cli.busy(as_json) as step:
        step("draining the feed")
        asyncio.run(serving.cli.drained(at, dataset))
        version = train(Dataset(dataset), settings.models, settings.training, progress=step)
        step("publishing")
        fit = partial(misfits, settings)
        publish(settings.models, version, settings.training, now=now(), misfits=fit)
        before = now() - timedelta(days=settings.retain_days)
        keep = settings.training.keep_models
        gone = prune(settings.models, keep=keep, before=before, spared=tried)
        asyncio.run(serving.cli.trimmed(at, _contained(settings.models), now=now()))
        plans = forget_plans(campaign_composition(settings, now, name="system"), before=before)
    if as_json:
        training.cli.print_json({"published": version, "deleted": gone, "deleted_plans": plans})
    else:
        Console().print(
            f"Published [bold]{version}[/bold]; deleted {len(gone)} older versions"
            f" and {len(plans)} older plans."
        )


@app.command("demo")
def demo_command(
    ctx: typer.Context,
    serve: Annotated[bool, typer.Option("--serve/--no-serve", help="End on the shop page.")] = True,
) -> None:
    """Everything once, on a real shop's year; then a shop page to try it on."""
    settings = demo_settings(ctx.obj)
    if serve:  # said now, not after all the work
        check_address(settings.serving.host, None)
    at = demo.run.Composition(
        folder=settings.home,
        training=settings.training,
        serving=serving_composition(settings),
        campaigns=partial(campaign_composition, settings, name="simulated"),
    )
    with _alone(settings.home / "demo.lock", "demo"):
        demo.run.play(at, Console(soft_wrap=True), serve=serve)


def demo_settings(settings: Settings) -> Settings:
    """The operator's settings, led away from the operator's data: a folder of the demo's own."""
    serving = settings.serving.model_copy(update={"feed_url": None})
    address = f"http://{serving.host}:{serving.port}"
    own: dict[str, object] = {"ledger_url": None, "public_url": address, "channels": {}}
    campaigns = settings.campaigns.model_copy(update=own)
    return settings.model_copy(
        update={
            "home": settings.home / "demo",
            "dataset": None,
            "serving": serving,
            "campaigns": campaigns,
        }
    )


def _contained(models: Path) -> dict[int, int]:
    """By shard: the last event that every kept model contains."""
    kept = [
        artifact.read_manifest(models, version)["feed"] for version in artifact.versions(models)
    ]
    shards = set().union(*kept) if kept else set()
    return {int(shard): min(int(feed.get(shard, 0)) for feed in kept) for shard in shards}


@contextmanager
def _alone(lock: Path, what: str) -> Iterator[None]:
    """One at a time; the kernel frees the lock when the process dies."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(
                f"another {what} holds {lock}; wait for it to end, or end it"
            ) from None
        yield
