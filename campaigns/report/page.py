"""The page: a report poured into one self-contained HTML file, without scripts."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from campaigns.account import amount
from campaigns.files import sync_folder, write_whole
from campaigns.report.facts import Report
from recsys.errors import CampaignError

_HERE = Path(__file__).parent


def check_place(file: Path) -> None:
    """CampaignError where no page could be written; ask before the work."""
    if file.is_dir():
        raise CampaignError(f"--html {file} is a folder; name a file in it")
    if not file.parent.is_dir():
        raise CampaignError(f"--html {file}: there is no folder {file.parent}. Make it first.")


def write_page(report: Report, file: Path) -> None:
    """All of it, or nothing."""
    put(rendered(report), file)


def put(page: str, file: Path) -> None:
    """The whole page, or the file as it was."""
    check_place(file)
    write_whole(file, page.encode())
    sync_folder(file.parent)


def _money(money: float) -> str:
    return amount(money if abs(money) >= 1e-6 else 0.0)  # what rounding leaves has no sign


def pour(template: Path, **facts: object) -> str:
    """A page's text, in the style of all pages. Whatever names, titles and reasons hold is shown,
    never obeyed."""
    environment = Environment(
        loader=FileSystemLoader([template.parent, _HERE]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"money": _money, "count": "{:,}".format}
    return environment.get_template(template.name).render(**facts)


def rendered(report: Report) -> str:
    """The page's text."""
    ends = [end for one in report.campaigns for end in (one.sums.value.low, one.sums.value.high)]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    span = (high - low) or 1.0

    def place(value: float) -> str:
        """Per cent from the left of a bar."""
        return f"{100 * (value - low) / span:.2f}"

    return pour(_HERE / "plan.html", report=report, place=place)
