"""Reports of `guesslike evaluate` as tables: the means over windows, and how far the bars are."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.quality.plan import Bar, Group

Report = dict[str, Any]
METRICS = ("recall", "ndcg")
PUBLISHED = Path(__file__).with_name("published.csv")
TASKS = ("all", "new")


@dataclass(frozen=True, slots=True)
class Reached:
    """One figure beside what is asked of it."""

    group: str
    what: str
    reached: float
    asked: float

    @property
    def met(self) -> bool:
        """Whether it is enough, to the last digit."""
        return self.reached >= self.asked


def mean(reports: list[Report], task: str, kind: str, row: str, metric: str) -> float | None:
    """Over the windows; None where a row has no word in one of them."""
    found = [report["tasks"][task][kind].get(row, {}).get(metric) for report in reports]
    return None if None in found else fmean(found)


def bars(group: Group, reports: list[Report]) -> Iterator[Reached]:
    """Every figure that the group is held against."""
    for bar in group.bars:
        for metric, asked in (("recall", bar.recall), ("ndcg", bar.ndcg)):
            if asked is not None:
                yield _reached(group, bar, metric, asked, [_sliced(one, bar) for one in reports])


def _sliced(report: Report, bar: Bar) -> Report:
    task = report["tasks"][bar.task]
    return {"tasks": {bar.task: task["slices"][bar.slice] if bar.slice else task}}


def _reached(group: Group, bar: Bar, metric: str, asked: float, reports: list[Report]) -> Reached:
    ours = mean(reports, bar.task, "rows", "ranker", metric) or 0.0
    where = f"{bar.task}, {metric}" + (f", {bar.slice} orders" if bar.slice else "")
    rivals = {
        name: mean(reports, bar.task, "references", name, metric) or 0.0 for name in bar.references
    }
    if not rivals:
        return Reached(group.title, where, ours, asked)
    best = max(rivals, key=lambda name: rivals[name])
    return Reached(group.title, f"{where}, against `{best}`", ours / rivals[best], asked)


def table(group: Group, reports: list[Report]) -> str:
    """Markdown: each row's means, the best first, and what was published."""
    lines = [
        f"#### {group.title}",
        "",
        "| ranking | all: recall / ndcg | new: recall / ndcg |",
        "|---|---|---|",
    ]
    rows: list[tuple[float, str]] = []
    for kind, label in (("rows", "`{}`"), ("references", "reference `{}`")):
        for name in reports[0]["tasks"]["all"][kind]:
            shown = "**ranker**" if name == "ranker" else label.format(name)
            means = {t: [mean(reports, t, kind, name, m) for m in METRICS] for t in TASKS}
            order = next((m[0] for m in means.values() if m[0] is not None), 0.0)
            rows.append(
                (order, f"| {shown} | " + " | ".join(_cell(m) for m in means.values()) + " |")
            )
    rows += _published(group)
    return "\n".join([*lines, *(line for _, line in sorted(rows, reverse=True))]) + "\n"


def bar_table(found: list[Reached]) -> str:
    """Markdown: every bar."""
    lines = ["| data | figure | reached | asked |", "|---|---|---|---|"]
    for one in found:
        mark = "" if one.met else " (missed)"
        lines.append(f"| {one.group} | {one.what} | {one.reached:.4f}{mark} | {one.asked:g} |")
    return "\n".join(lines) + "\n"


def _published(group: Group) -> list[tuple[float, str]]:
    with PUBLISHED.open() as file:
        rows = [row for row in csv.DictReader(file) if row["group"] == group.name]
    found = []
    for row in rows:
        figures = _cell([float(row["recall"]), float(row["ndcg"])])
        cells = [figures if task == row["task"] else "–" for task in TASKS]
        name = f"published: [{row['row']}]({row['source']})"
        found.append((float(row["recall"]), f"| {name} | " + " | ".join(cells) + " |"))
    return found


def _cell(means: list[float | None]) -> str:
    if None in means or not any(means):
        return "–"
    return " / ".join(f"{value:.4f}".removeprefix("0") for value in means)
