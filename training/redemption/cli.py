"""guesslike evaluate-coupons: what was foreseen of a campaign that is over."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from recsys.dataset import Dataset
from recsys.errors import DataError
from training.cli import Json, busy, composition, print_json
from training.redemption.campaigns import load as load_campaigns
from training.redemption.evaluate import foresee
from training.shop import load

app = typer.Typer(no_args_is_help=True)


@app.command("evaluate-coupons")
def evaluate_coupons_command(
    ctx: typer.Context,
    dataset: Path,
    campaign: Annotated[str, typer.Option(help="Id of a campaign that is over.")],
    k: Annotated[int, typer.Option("--k", min=1, max=100)] = 10,
    as_json: Json = False,
) -> None:
    """Learn from what had ended before a campaign began, and compare with what came of it."""
    data = Dataset(dataset)
    for table in ("campaigns", "campaign_coupons", "pushes", "redemptions"):
        if not data.has(table):
            raise DataError(
                f"{dataset} has no table {table}: without it nobody knows what came of a campaign. "
                "docs/your-data.md says what it holds."
            )
    seed = composition(ctx).settings.seed
    with busy(as_json) as step:
        step("reading the dataset")
        shop = load(data)
        campaigns = load_campaigns(data, shop)
        step("learning who redeems coupons")
        report = foresee(shop, campaigns, campaign, k=k, seed=seed).report()
    if as_json:
        print_json(report)
    else:
        show_foreseen(Console(), report)


def show_foreseen(console: Console, report: dict[str, Any]) -> None:
    """The report as a table."""
    console.print(
        f"Campaign {report['campaign']}: {report['coupons']} coupons; "
        f"{report['redeemers']:,} of {report['targeted']:,} members redeemed some."
    )
    table = Table()
    table.add_column("")
    table.add_column(f"recall@{report['k']}", justify="right")
    table.add_column("mrr", justify="right")
    for name, row in report["rows"].items():
        table.add_row(name, f"{row['recall']:.4f}", f"{row['mrr']:.4f}")
    console.print(table)
    who = "–" if report["who"] is None else f"{report['who']:.4f}"
    console.print(f"Who redeems: AUC {who}")
    counts = report["redemptions"]
    console.print(f"Redemptions: {counts['expected']:.1f} expected, {counts['actual']} came")
    learned = report["learned_from"]
    console.print(
        f"Learned from {learned['redemptions']:,} redemptions in {learned['campaigns']} campaigns "
        "that had ended before it began."
    )
