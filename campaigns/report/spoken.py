"""A report in a few lines on the screen."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from campaigns.account import amount
from campaigns.report.facts import OfCampaign, Report
from campaigns.report.sums import Span


def show_report(console: Console, report: Report, page: Path | None) -> None:
    """What it comes to. page: where the whole of it was written."""
    for one in report.campaigns:
        _show(console, one)
    for occasion in report.absent:
        console.print(f"Planned together with {escape(occasion)}, whose plan cannot be read.")
    for words in [*report.prices, *report.minimums]:
        console.print(f"  {escape(words)}")
    if report.basis is not None:
        console.print(f"What a push brings is {escape(report.basis)}.")
    if report.naive is not None:
        value = float(str(report.together["value"]))
        console.print(
            f"Worth {amount(value)}; first come, first served {amount(report.naive.value)}."
        )
    console.print(
        f"Written to {escape(str(page))}" if page else "--html FILE writes a page with all of it."
    )


def _show(console: Console, one: OfCampaign) -> None:
    sums = one.sums
    console.print(f"[bold]{escape(one.title)}[/] · plan {one.plan}")
    console.print(
        f"  {sums.pushes:,} pushes for {amount(sums.cost)}; expected value {_span(sums.value)}; "
        f"liability {_span(sums.discount)}, at worst {amount(sums.most_off)}"
        + (f" and {sums.unlimited:,} coupons without a limit" if sums.unlimited else "")
    )
    if one.last is not None:
        last = one.last
        console.print(
            f"  The last plan had {last.pushes:,} pushes for {amount(last.cost)}, "
            f"expected value {amount(last.value)}: {last.new.members:,} members are new, "
            f"{last.gone.members:,} gone, {last.other.members:,} get another coupon."
        )


def _span(of: Span) -> str:
    return f"{amount(of.mean)} ({amount(of.low)} to {amount(of.high)})"
