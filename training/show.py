"""Reports as a person reads them on a terminal."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from recsys.comparison import CONFIDENCE, Estimate
from training.compare import Comparison
from training.doctor import Examination
from training.evaluate import Evaluation
from training.importers import ImportReport


def show_import(console: Console, report: ImportReport) -> None:
    """Rows and rejects of each table."""
    for table in report.tables:
        bad = f", [yellow]{table.rejects:,} set aside[/yellow]" if table.rejects else ""
        console.print(f"{table.table}: {table.rows:,} rows{bad}")
        for column, rule, rows in table.reasons:
            console.print(f"  {column}: {rule} ({rows:,} rows)", markup=False)
    for note in report.notes:
        console.print(f"[dim]{note}[/dim]")
    console.print(f"The dataset is in {report.out}.")


def show_evaluation(console: Console, found: Evaluation) -> None:
    """The report as tables: recall and ndcg of each row, by task."""
    report = found.report
    days = report["horizon_days"]
    tested = "the last order of each" if days is None else f"{days:g} days"
    for task, facts in report["tasks"].items():
        title = f"{task}: {facts['members']:,} members, {tested}"
        table = Table(title=title, title_justify="left")
        table.add_column("")
        for column in ("recall", "ndcg", "hit rate"):
            table.add_column(f"{column}@{report['k']}", justify="right")
        for kind in ("references", "rows"):
            for name, row in facts[kind].items():
                cells = [f"{row[m]:.4f}" if row[m] is not None else "–" for m in row]
                table.add_row(name if kind == "rows" else f"{name} (reference)", *cells)
        console.print(table)


def show_examination(console: Console, found: Examination) -> None:
    """Findings with their mends, then the placements."""
    colours = {"error": "red", "warning": "yellow", "note": "dim"}
    for one in found.findings:
        console.print(f"[{colours[one.gravity]}]{one.gravity}[/] [bold]{one.name}[/bold]")
        shown = f" Among them: {', '.join(one.examples)}." if one.examples else ""
        console.print(f"  {one.what}.{shown}\n  Mend: {one.mend}.", markup=False)
    if not found.findings:
        console.print("Nothing was found that would ruin a recommender.")
    for place in found.placements:
        verdict = "[green]yes[/green]" if place.carried else "[red]no[/red]"
        console.print(f"{place.placement}: {verdict}, {place.because}")


def show_comparison(console: Console, found: Comparison) -> None:
    """Both sides and their difference, or why there is none."""
    for arm in found.arms:
        console.print(
            f"{arm.name}: {arm.members:,} members, {arm.impressions:,} lists", markup=False
        )
    if found.both:
        console.print(f"{found.both:,} members were shown both and are left out.")
    if found.withheld is not None:
        console.print(f"[red]No comparison[/red]: {found.withheld}.")
        return
    console.print(f"The split is as meant (chance {found.split_chance:.2g}).")
    first, second = found.arms
    title = f"per member, with intervals of {CONFIDENCE:.0%}"
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for name in (first.name, second.name, "difference"):
        table.add_column(Text(name), justify="right")
    for one, gap in found.differences.items():
        clear = "" if gap.low <= 0 <= gap.high else " *"
        cells = [_interval(arm.measures[one]) for arm in found.arms]
        table.add_row(one, *cells, _interval(gap, sign="+") + clear)
    console.print(table)
    console.print("* zero is outside the interval")


def _interval(one: Estimate, sign: str = "") -> str:
    return f"{one.value:{sign}.4f} ({one.low:{sign}.4f} to {one.high:{sign}.4f})"
