"""Who should get the women's mail: learners against a rule on the Hillstrom trial.

    python -m benchmarks.uplift.hillstrom --data FOLDER [--splits 20] [--write docs/quality.md]

FOLDER holds hillstrom.csv. Each split learns on one half of the 42,693 who got the women's mail or
none, and measures visits on the other. Ends with 1 if what is chosen is below the rule.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import stdtrit

from benchmarks.quality.run import write_between
from recsys.errors import DataError
from training.uplift.choose import learn
from training.uplift.learners import OF_CHANCES, OTHERS, SIMPLE, lesson
from training.uplift.trial import Trial, uplift_at

SHARE = 0.3
MAIL, NONE = "Womens E-Mail", "No E-Mail"
RULE = "bought women's"
CHOSEN = "**chosen**"
PLAIN = ("recency", "history", "mens", "womens", "newbie")
WORDS = ("zip_code", "channel")
Figures = dict[str, list[float]]


def trial_of(data: Path) -> Trial:
    """The women's mail against none. DataError if the file is another."""
    file = data / "hillstrom.csv"
    if not file.is_file():
        raise DataError(f"{file} is not there; --data names the folder that holds hillstrom.csv")
    table = pl.read_csv(file, infer_schema_length=None)
    missing = {*PLAIN, *WORDS, "segment", "visit"} - set(table.columns)
    if missing:
        raise DataError(f"{file} has no column {', '.join(sorted(missing))}")
    table = table.filter(pl.col("segment").is_in([MAIL, NONE]))
    dummies = table.select(WORDS).to_dummies()
    pushed = (table["segment"] == MAIL).to_numpy()
    return Trial(
        (*PLAIN, *dummies.columns),
        table.select(PLAIN).hstack(dummies).to_numpy().astype(np.float64),
        pushed,
        np.full(len(pushed), 0.5),  # dealt by lot, one in three each
        table["visit"].to_numpy().astype(np.float64),
    )


def figures(trial: Trial, splits: int) -> tuple[Figures, list[str]]:
    """Uplift at the best SHARE for each row and split, and which learner was chosen in each."""
    found: Figures = {}
    chosen = []
    for split in range(splits):
        rng = np.random.default_rng(split)
        order = rng.permutation(len(trial))
        half, other = trial.rows(order[: len(order) // 2]), trial.rows(order[len(order) // 2 :])
        best = learn(half, rng=rng)
        chosen.append(best.learner)
        learned = lesson(half)
        rows = {RULE: other.features[:, PLAIN.index("womens")]}
        for name, learner in (SIMPLE | OTHERS | OF_CHANCES).items():
            rows[f"`{name}`"] = learner(learned).of(other.features)
        rows[CHOSEN] = best.effect.of(other.features)
        for name, score in rows.items():
            found.setdefault(name, []).append(uplift_at(score, other, share=SHARE))
    return found, chosen


def interval(values: NDArray[np.float64]) -> tuple[float, float]:
    """95 %, for the mean over half splits of one table, which share their rows (Nadeau & Bengio
    2003, doi 10.1023/A:1024068626366)."""
    splits = len(values)
    error = float(np.sqrt(values.var(ddof=1) * (1 / splits + 1)))
    reach = float(stdtrit(splits - 1, 0.975)) * error
    return float(values.mean()) - reach, float(values.mean()) + reach


def table(found: Figures, chosen: list[str]) -> str:
    """Markdown."""
    rule = np.array(found[RULE])
    lines = ["| ranking | uplift at the best 30 % | less the rule's | 95 % |", "|---|---|---|---|"]
    for name, values in found.items():
        less = np.array(values) - rule
        low, high = interval(less)
        cells = (
            ["–", "–"] if name == RULE else [f"{less.mean():+.4f}", f"{low:+.4f} to {high:+.4f}"]
        )
        lines.append(f"| {name} | {np.mean(values):.4f} | {' | '.join(cells)} |")
    low, high = interval(np.array(found[CHOSEN]))
    times = ", ".join(f"`{name}` {chosen.count(name)}" for name in dict.fromkeys(chosen))
    lines += [
        "",
        f"{CHOSEN} itself: 95 % {low:.4f} to {high:.4f}. Chosen of {len(chosen)}: {times}.",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--splits", type=int, default=20)
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    if asked.splits < 2:
        parser.error("--splits must be 2 or more, for an interval")
    try:
        trial = trial_of(asked.data)
    except DataError as error:
        print(error, file=sys.stderr)
        return 2
    found, chosen = figures(trial, asked.splits)
    text = table(found, chosen)
    print(text)
    if asked.write:
        write_between(asked.write, "hillstrom", text)
    return int(np.mean(found[CHOSEN]) < np.mean(found[RULE]))


if __name__ == "__main__":
    sys.exit(main())
