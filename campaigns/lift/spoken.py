"""A lift report in a few lines on the screen."""

from pathlib import Path

from rich.console import Console
from rich.markup import escape

from campaigns.lift.facts import CampaignLift, Lift, LiftReport
from campaigns.lift.wording import NAMES, OCCASIONS, days, headline, latest, signed, span, verdict


def show_lift(console: Console, report: LiftReport, page: Path | None) -> None:
    """What each campaign earned. page: where the whole of it was written."""
    for one in report.campaigns:
        _show(console, one)
    console.print(
        f"Known until {report.known_until}. All intervals of a line's campaign or occasion hold "
        f"together with {report.level:.0%}, however often one looks."
    )
    console.print(
        f"Written to {escape(str(page))}" if page else "--html FILE writes a page with all of it."
    )


def _show(console: Console, one: CampaignLift) -> None:
    whole = one.whole
    console.print(
        f"[bold]{escape(one.campaign)}[/] · since {whole.since} · {whole.treated.members:,} "
        f"members planned, {whole.held_out.members:,} more held out ({whole.share:.1%})"
    )
    _say(console, whole, "  ")
    if len(one.occasions) > 1:
        earlier = len(one.occasions) - OCCASIONS
        if earlier > 0:
            console.print(f"  {earlier:,} earlier occasions: --json has all")
        for occasion in one.occasions[-OCCASIONS:]:
            console.print(f"  {escape(occasion.occasion or '')}")
            _say(console, occasion, "    ")


def _say(console: Console, lift: Lift, indent: str) -> None:
    profit = latest(lift)
    if profit is not None:
        console.print(f"{indent}{headline(profit)} {verdict(profit)}")
    for name in ("orders", "revenue", "redemptions"):
        found = latest(lift, name)
        if found is not None:
            console.print(
                f"{indent}{NAMES[name]} within {days(found.day)}: {signed(found.effect)} a planned "
                f"member ({span(found.low, found.high)}), in place of {found.without:,.2f}"
            )
    for reason in lift.withheld:
        console.print(f"{indent}No number is told: {escape(reason)}.")
