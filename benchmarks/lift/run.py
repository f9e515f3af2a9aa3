"""Whether the numbers of a lift report hold.

    python -m benchmarks.lift.run [--shops 2000] [--write docs/quality.md]

Shops without an effect and shops with a known one are looked at every day; the smallest arms are
tried; and how much narrower intervals become is measured on the households of Complete Journey.
Ends with 1 if more than 6.4 % of the shops without an effect show one, if the intervals of fewer
than 94 % of the others all hold the truth, if an arm below the minimum shows anything, or if
intervals become less than 20 % narrower.
"""

import argparse
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np

from benchmarks.lift.journey import VISIBLE, journey, narrowed
from benchmarks.lift.shops import COVARIATES, Kind, Shop, shop
from benchmarks.quality.run import write_between
from campaigns.lift.always import (
    LEAST_CLUSTERS,
    LEAST_SPENDERS,
    OUTCOMES,
    enough,
    estimated,
    reach,
    spenders,
    start_of,
)
from campaigns.lift.difference import difference, size_of
from campaigns.lift.moments import Doubles, Moments

FALSE_ALARMS, COVERED, NARROWER = 0.064, 0.94, 0.2
PROFIT = OUTCOMES.index("profit")
USUAL = 30
"""in each arm, from which on the usual formula is used"""
ARMS, SPENDERS = (25, 50, 100, 200), (0, 25, LEAST_SPENDERS, 100)
"""held out, and spenders at least, tried for the minimum"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What daily looks at one shop saw."""

    missed: bool
    """an interval of any outcome, on any day, that does not hold the truth"""
    profit: bool
    """likewise, of the profit"""
    usual: bool
    """likewise, by the usual formula, where there are 30 in each arm"""
    shown: bool
    """anything at all"""


def look(made: Shop) -> Seen:
    """Every day, as the report does."""
    start, missed, usual, shown = start_of(*made.planned), np.zeros(len(OUTCOMES), bool), False, 0
    for truth, treat, hold in _days(made):
        if min(treat.count, hold.count) >= USUAL:
            usual |= bool(_off(*_usual(treat, hold, truth))[PROFIT])
        if enough(treat, hold, start):
            found, wide = estimated(treat, hold, start=start, covariates=COVARIATES)
            missed |= _off(found.effect - truth, wide)
            shown += int(np.isfinite(wide).sum())
    return Seen(bool(missed.any()), bool(missed[PROFIT]), usual, shown > 0)


def _usual(treat: Moments, hold: Moments, truth: Doubles) -> tuple[Doubles, Doubles]:
    """How far the difference of the means is off, and 1.96 of its standard errors."""
    off = (treat.mean - hold.mean)[COVARIATES:] - truth
    squared = [
        np.diag(arm.scatter)[COVARIATES:].clip(0) / (arm.count - 1) / arm.count
        for arm in (treat, hold)
    ]
    return off, 1.96 * np.sqrt(squared[0] + squared[1])


def misses(made: Shop, *, least: float) -> bool:
    """Whether an interval misses the truth, where any arms and so few spenders were enough."""
    start, missed = size_of(*made.planned) / 2, False
    for truth, treat, hold in _days(made):
        found = difference(treat, hold, covariates=COVARIATES)
        if found.size >= start:
            off = _off(found.effect - truth, found.error * reach(found.size, start))
            missed |= bool((off & (spenders(treat, COVARIATES) >= least)).any())
    return missed


def _days(made: Shop) -> Iterator[tuple[Doubles, Moments, Moments]]:
    for truth, treats, holds in zip(made.truth, made.treat, made.hold, strict=True):
        for treat, hold in zip(treats, holds, strict=True):
            if min(treat.count, hold.count) > 1:
                yield truth, treat, hold


def _off(distance: Doubles, wide: Doubles) -> np.ndarray:
    return np.abs(distance) > wide + 1e-9


def kinds(shops: int, rng: np.random.Generator) -> Iterator[Kind]:
    """From 5 % held out to half, from one order in 200 days to one in 5, more or less skewed."""
    for _ in range(shops):
        share = float(rng.choice([0.05, 0.1, 0.2, 0.5]))
        held = float(np.exp(rng.uniform(np.log(130), np.log(800))))
        yield Kind(
            clusters=int(held / share),
            share=share,
            orders=float(np.exp(rng.uniform(np.log(0.005), np.log(0.2)))),
            tail=float(rng.uniform(0.7, 1.7)),
            times=float(rng.choice([0.6, 0.8, 1.2, 1.5])),
        )


def seen(shops: int, *, effect: bool) -> list[Seen]:
    """Of so many shops, each its own draw."""
    rng = np.random.default_rng(int(effect))
    return [look(shop(kind, rng, effect=effect)) for kind in kinds(shops, rng)]


def minimum_table(shops: int) -> list[str]:
    """Markdown: shares of shops in which an interval misses the truth, by the minimum."""
    head = " | ".join(f"from {least} spenders" for least in SPENDERS)
    lines = [f"| held out | {head} |", "|---|" + "---|" * len(SPENDERS)]
    for held in ARMS:
        rng = np.random.default_rng(held)
        made = [shop(kind, rng, effect=True) for kind in _hard(held, shops)]
        cells = [f"{np.mean([misses(one, least=least) for one in made]):.1%}" for least in SPENDERS]
        lines.append(f"| {held} | {' | '.join(cells)} |")
    return lines


def _hard(held: int, shops: int) -> Iterator[Kind]:
    """Pushes that change much, and members who are very unlike each other."""
    cases = list(product((0.05, 0.5), (0.02, 0.1), (1.0, 1.7, 2.5), (0.4, 1.5, 3.0)))
    for at in range(shops):
        share, orders, tail, times = cases[at % len(cases)]
        yield Kind(int(held / share), share, orders, tail, times)


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--shops", type=int, default=2000, help="without an effect; half with one")
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    none = seen(asked.shops, effect=False)
    some = seen(asked.shops // 2, effect=True)
    small = [
        look(shop(Kind(int(0.6 * LEAST_CLUSTERS / share), share, 0.1, 1.0), rng, effect=False))
        for rng in [np.random.default_rng(2)]
        for share in [0.05, 0.2, 0.5] * (asked.shops // 10)
    ]
    alarms, covered = _mean(none, "missed"), 1 - _mean(some, "missed")
    told = _mean(small, "shown")
    with tempfile.TemporaryDirectory() as folder:
        narrow = narrowed(journey(Path(folder)))
    kept = float(np.mean([narrow[day].narrowed for day in (7, 14, 28)]))
    text = "\n".join(
        [
            "| figure | reached | asked |",
            "|---|---|---|",
            f"| {len(none):,} shops without an effect, looked at daily: any interval shows one | "
            f"{alarms:.1%} | ≤ {FALSE_ALARMS:.1%} |",
            f"| likewise, the profit's | {_mean(none, 'profit'):.1%} | – |",
            f"| likewise, the profit's by the usual formula | {_mean(none, 'usual'):.1%} | – |",
            f"| {len(some):,} shops with a known effect: all intervals of all days hold it | "
            f"{covered:.1%} | ≥ {COVERED:.0%} |",
            f"| likewise, the profit's by the usual formula | {1 - _mean(some, 'usual'):.1%} | – |",
            f"| likewise, something is told | {_mean(some, 'shown'):.1%} | – |",
            f"| {len(small):,} shops with about {0.6 * LEAST_CLUSTERS:.0f} held out: a number is "
            f"told | {told:.1%} | 0 |",
            f"| Complete Journey: profit's interval is narrower, mean of 7, 14 and 28 days | "
            f"{kept:.1%} | ≥ {NARROWER:.0%} |",
            "",
            f"| days | narrower | the least effect that shows, {VISIBLE[1]:,} of {sum(VISIBLE):,} "
            "held out |",
            "|---|---|---|",
            *(
                f"| {day} | {one.narrowed:.1%} | {one.visible:.0%} of the profit |"
                for day, one in narrow.items()
            ),
            "",
            *minimum_table(max(asked.shops // 4, 1)),
            "",
        ]
    )
    print(text)
    if asked.write:
        write_between(asked.write, "lift", text)
    return int(alarms > FALSE_ALARMS or covered < COVERED or told > 0 or kept < NARROWER)


def _mean(looks: list[Seen], what: str) -> float:
    return float(np.mean([getattr(one, what) for one in looks]))


if __name__ == "__main__":
    sys.exit(main())
