"""The page of a lift report: self-contained, without scripts."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from campaigns.lift import wording
from campaigns.lift.always import DAYS, OUTCOMES
from campaigns.lift.facts import Effect, Lift, LiftReport
from campaigns.report.page import pour, put

_TEMPLATE = Path(__file__).parent / "lift.html"
WIDTH, HEIGHT, LEFT, BELOW = 320.0, 170.0, 56.0, 22.0
"""of a chart, in its own units; the last two for what is written at its edges"""


@dataclass(frozen=True, slots=True)
class Dot:
    """One day of one outcome."""

    x: float
    y: float
    low: float
    high: float
    effect: Effect


@dataclass(frozen=True, slots=True)
class Chart:
    """One outcome over the days."""

    outcome: str
    dots: list[Dot]
    zero: float
    """where nothing is changed"""
    marks: list[tuple[float, str]]
    """height and words, at the left"""

    @property
    def line(self) -> str:
        """Through the estimates."""
        return " ".join(f"{dot.x:.1f},{dot.y:.1f}" for dot in self.dots)

    @property
    def band(self) -> str:
        """Round all intervals."""
        upper = [f"{dot.x:.1f},{dot.high:.1f}" for dot in self.dots]
        lower = [f"{dot.x:.1f},{dot.low:.1f}" for dot in reversed(self.dots)]
        return " ".join([*upper, *lower])


def charts(lift: Lift) -> list[Chart]:
    """What matters most first."""
    drawn = []
    for name in reversed(OUTCOMES):
        effects = [one for one in lift.effects if one.outcome == name]
        if effects:
            drawn.append(_chart(name, effects))
    return drawn


def _chart(name: str, effects: list[Effect]) -> Chart:
    least, most = _ends((one.low, one.high) for one in effects)

    def height(value: float) -> float:
        return 8 + (HEIGHT - BELOW - 8) * (most - value) / (most - least)

    dots = [
        Dot(across(one.day), height(one.effect), height(one.low), height(one.high), one)
        for one in effects
    ]
    # What would be written over the zero is left out.
    marks = [
        (height(one), wording.signed(one))
        for one in (least, most)
        if abs(height(one) - height(0.0)) > 12
    ]
    return Chart(name, dots, height(0.0), [*marks, (height(0.0), "0")])


def across(day: int) -> float:
    """Days are as far from each other as their numbers in the list."""
    step = (WIDTH - LEFT - 16) / (len(DAYS) - 1)
    return LEFT + 8 + step * DAYS.index(day)


def _ends(spans: Iterable[tuple[float, float]]) -> tuple[float, float]:
    ends = [0.0, *(end for span in spans for end in span)]
    least, most = min(ends), max(ends)
    return (least, most) if most > least else (-1.0, 1.0)


def rendered_lift(report: LiftReport) -> str:
    """The page's text."""
    profits = [
        found
        for one in report.campaigns
        for lift in (one.whole, *one.occasions)
        if (found := wording.latest(lift)) is not None
    ]
    least, most = _ends((one.low, one.high) for one in profits)

    def place(value: float) -> str:
        """Per cent from the left of a bar."""
        return f"{100 * (value - least) / (most - least):.2f}"

    return pour(
        _TEMPLATE,
        report=report,
        charts=charts,
        place=place,
        across=across,
        days=DAYS,
        words=wording,
        size=(WIDTH, HEIGHT, LEFT, BELOW),
    )


def write_lift(report: LiftReport, file: Path) -> None:
    """All of it, or nothing."""
    put(rendered_lift(report), file)
