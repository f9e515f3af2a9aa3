"""What the demo says of each step's result."""

from collections.abc import Mapping
from datetime import datetime
from email import message_from_bytes
from email.policy import default
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from campaigns.definition import Campaign
from recsys.coupons import Terms
from training.importers import ImportReport
from training.run import describe


def greet(console: Console, folder: Path) -> None:
    """What is going to happen, and where."""
    console.print(
        "[bold]Guesslike 猜你喜欢[/bold]: a real shop's year, from its files to a sent campaign.\n"
        f"Everything is written to {escape(str(folder))}. Nothing leaves this machine."
    )


def imported(console: Console, report: ImportReport) -> None:
    """Rows of each table."""
    tables = ", ".join(f"{table.rows:,} {table.table}" for table in report.tables)
    console.print(f"{tables}.")
    rejects = sum(table.rejects for table in report.tables)
    if rejects:
        console.print(f"{rejects:,} bad rows were set aside: {report.out / 'rejects.parquet'}")
    for note in report.notes:
        console.print(f"[yellow]{escape(note)}[/yellow]")


def trained(console: Console, manifest: Mapping[str, Any]) -> None:
    """What was learned."""
    console.print(f"Learned: {describe(dict(manifest))}.")


def published(console: Console, version: str, begun: datetime) -> None:
    """Which version, and what time it is now."""
    console.print(f"Model {version} is what the shop answers from.")
    console.print(
        f"From here on the clock is simulated: {begun:%d %B %Y, %H:%M} UTC, the morning after "
        "the data's last day."
    )


def evaluated(console: Console, report: Mapping[str, Any]) -> None:
    """The ranker against what anybody would try first, a sentence for each task."""
    tasks, k, days = report["tasks"], report["k"], report["horizon_days"]
    every, new = tasks["all"], tasks["new"]
    console.print(
        f"Of what {every['members']:,} members bought in the {days:g} days after, "
        f"[bold]{_recall(every, 'ranker')}[/bold] stood in the {k} products that we named. "
        f"Their own most bought: {_recall(every, 'own')}; taste alone: {_recall(every, 'taste')}; "
        f"the shop's best sellers: {_recall(every, 'popular')}."
    )
    console.print(
        f"Of what {new['members']:,} members bought for the first time, "
        f"[bold]{_recall(new, 'ranker')}[/bold] stood in {k} products new to them. "
        f"Taste alone: {_recall(new, 'taste')}; the shop's best sellers: "
        f"{_recall(new, 'popular')}."
    )


def _recall(task: Mapping[str, Any], row: str) -> str:
    recall = task["rows"][row]["recall"]
    return "–" if recall is None else f"{recall:.1%}"


def consented(console: Console, file: Path, granted: int, members: int) -> None:
    """That nobody really agreed to anything."""
    console.print(
        f"[yellow]This consent is synthetic:[/yellow] generated for {members:,} members, of whom "
        f"{granted:,} say yes, with addresses that reach nobody. It is in {escape(str(file))}."
    )


def audience(
    console: Console, file: Path, campaign: Campaign, *, chosen: int, members: int
) -> None:
    """Whom the campaign is for."""
    rule = f", {campaign.audience}" if campaign.audience else ""
    console.print(
        f"The campaign is in {file}; edit it and run again. Its audience{rule}: {chosen:,} of "
        f"{members:,} members.",
        markup=False,
    )


def assumed(console: Console, terms: Terms) -> None:
    """What the plan's worth rests on beside the data."""
    console.print(
        f"Assumed as well: redemption_rate {terms.redemption_rate} of the members who buy in a "
        f"coupon's scope use it, and incremental_share {terms.incremental_share} of those orders "
        "would not have come without it. Settings change all four."
    )


def first_message(console: Console, outbox: Path) -> None:
    """The head of one message, as an example."""
    files = sorted(outbox.glob("*.eml"))
    if not files:
        return
    message = message_from_bytes(files[0].read_bytes(), policy=default)
    console.print(f"One of {len(files):,} messages, {escape(str(files[0]))}:")
    console.print(f"  Subject: {message['Subject']}", markup=False)
    body = message.get_body(("plain",))
    for line in (body.get_content() if body else "").strip().splitlines():
        console.print(f"  {line}", markup=False)


def part(console: Console, folder: Path) -> None:
    """The end without a shop."""
    console.print(f"\nDone. See for yourself: {escape(str(folder))}. The shop page: guesslike demo")


def opened(console: Console, address: str, *, shoppers: int) -> None:
    """The end with one."""
    console.print(
        f"\n[bold]The shop is open:[/bold] {address}\n"
        f"Pick one of {shoppers} members, click and buy, and watch the list change. "
        "Ctrl+C closes it."
    )
