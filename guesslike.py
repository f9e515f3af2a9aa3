"""Joins the four packages: settings, the clock, and one command line. Knows all of them; nothing
else does."""

import os

# OpenMP pools and BLAS threads fight: a threaded BLAS serves 47 requests a second where one
# thread serves 1,115. It must be said before numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import asyncio
import difflib
import errno
import fcntl
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from fastapi import APIRouter, FastAPI
from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from rich.console import Console

import campaigns.app
import campaigns.cli
import demo.run
import serving.cli
import serving.doors.cli
import training.cli
from campaigns.definition import Campaign
from campaigns.retention import forget_plans
from campaigns.run import Composition as CampaignComposition
from campaigns.settings import CampaignSettings
from campaigns.valuation import ModelOffers
from recsys import artifact
from recsys.coupons import Terms
from recsys.dataset import Dataset
from recsys.errors import GuesslikeError, SettingsError
from recsys.model import Model
from serving.doors.door import check_address
from serving.models import open_current
from serving.placements_file import load_placements
from serving.settings import ServingSettings
from training.config import TrainingSettings
from training.publish import prune, publish
from training.run import train

PREFIX = "GUESSLIKE_"
OF_TESTS = "GUESSLIKE_TEST_"


class Settings(BaseSettings):
    """Every setting, from GUESSLIKE_* in the environment; frozen, and passed down."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid"
    )

    home: Path = Path("var")
    """the one folder of everything local"""
    dataset: Path | None = None
    """where campaigns look up members and coupons; without one, dataset in the local folder"""
    retain_days: Annotated[int, Field(ge=1)] = 30
    """`retrain` deletes models and plans that are older: they may name members erased since"""
    training: TrainingSettings = TrainingSettings()
    serving: ServingSettings = ServingSettings()
    campaigns: CampaignSettings = CampaignSettings()

    @property
    def models(self) -> Path:
        """Where versions lie."""
        return self.home / "models"

    @property
    def terms(self) -> Terms:
        """What no event log says."""
        return Terms(
            margin_rate=self.campaigns.margin_rate,
            coupon_value=self.campaigns.coupon_value,
            redemption_rate=self.campaigns.redemption_rate,
            incremental_share=self.campaigns.incremental_share,
        )


def load_settings(environment: dict[str, str]) -> Settings:
    """Check every name and value; SettingsError names the setting and the mend."""
    known = set(_names(Settings, PREFIX))
    for name in environment:
        if name.startswith(PREFIX) and not name.startswith(OF_TESTS) and name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.0)
            raise SettingsError(f"unknown setting {name}; did you mean {near[0]}?")
    try:
        return Settings()
    except ValidationError as error:
        lines = [
            f"{PREFIX}{'__'.join(map(str, one['loc'])).upper()}: {one['msg']}"
            for one in error.errors()
        ]
        raise SettingsError("\n".join(lines)) from None


def _names(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, facts in model.model_fields.items():
        full = f"{prefix}{name.upper()}"
        if isinstance(facts.annotation, type) and issubclass(facts.annotation, BaseModel):
            yield from _names(facts.annotation, f"{full}__")
        else:
            yield full


def clock(start: str | None, begun: float | None = None) -> Callable[[], datetime]:
    """The system's clock, or one that starts at an instant and ticks from there.

    begun: the monotonic second at which it started, in another process of this machine.
    """
    if start is None:
        return lambda: datetime.now(UTC)
    try:
        first = datetime.fromisoformat(start)
    except ValueError:
        raise SettingsError(
            f"--clock {start!r} is no instant; write it as 2018-01-02T09:00:00Z"
        ) from None
    if first.tzinfo is None:
        raise SettingsError(f"--clock {start!r} needs a time zone, such as {start}Z")
    since = time.monotonic() if begun is None else begun
    return lambda: first.astimezone(UTC) + timedelta(seconds=time.monotonic() - since)


app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Guess you like (猜你喜欢): what each member gets to see, and one coupon a week.",
)
app.add_typer(training.cli.app)
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


def serving_composition(settings: Settings) -> serving.cli.Composition:
    """What serving needs; its process also answers the links that messages carry."""

    def pages(now: Callable[[], datetime], simulated: bool) -> APIRouter:
        name = "simulated" if simulated else "system"
        return campaigns.app.routes(campaign_composition(settings, now, name=name))

    return serving.cli.Composition(
        settings=settings.serving,
        folder=settings.home,
        models=settings.models,
        terms=settings.terms,
        clock=clock,
        pages=pages,
        worker=served,
        export=os.environ.__setitem__,
    )


def misfits(settings: Settings, model: Model) -> list[str]:
    """What the shop's placements have against a model: workers would refuse it, or show nothing."""
    return load_placements(settings.serving.placements).misfits(model)


def served(clock_start: str | None, begun: float) -> FastAPI:
    """The whole service, in a worker process of its own: settings come with the environment."""
    at = serving_composition(load_settings(dict(os.environ)))
    return at.app(clock(clock_start, begun), simulated=clock_start is not None)


def campaign_composition(
    settings: Settings, now: Callable[[], datetime], *, name: str
) -> CampaignComposition:
    """What campaigns need, under a clock of this name."""

    def offers(campaign: Campaign, coupons: list[str], at: datetime) -> ModelOffers:
        terms = Terms(
            margin_rate=campaign.margin_rate or settings.terms.margin_rate,
            coupon_value=(
                settings.terms.coupon_value
                if campaign.coupon_value is None
                else campaign.coupon_value
            ),
            redemption_rate=settings.terms.redemption_rate,
            incremental_share=settings.terms.incremental_share,
        )
        return ModelOffers(open_current(settings.models), coupons, terms, at.timestamp() / 86_400)

    return CampaignComposition(
        settings=settings.campaigns,
        now=now,
        clock=name,
        folder=settings.home,
        dataset=lambda: Dataset(settings.dataset or settings.home / "dataset"),
        offers=offers,
    )


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
    campaigns = settings.campaigns.model_copy(update={"ledger_url": None, "public_url": address})
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


def main() -> None:
    """The console script: what a person can mend is one message and exit code 2."""
    try:
        app()
    except GuesslikeError as error:
        _stop(str(error))
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        where = error.filename or "the local folder"
        _stop(f"{where}: {error.strerror}. Make room or name another folder with GUESSLIKE_HOME.")


_OF_THE_DISK = (
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EEXIST,
)  # fmt: skip


def _stop(message: str) -> Any:
    Console(stderr=True, soft_wrap=True).print(f"guesslike: {message}", markup=False, style="red")
    sys.exit(2)


if __name__ == "__main__":
    main()
