"""What each source, and each kind of evidence, earns: the ranker without it, on two shops.

    python -m benchmarks.quality.ablation --data FOLDER --write docs/quality.md

FOLDER and --home are those of benchmarks.quality.run. Everything is learned anew without the one
thing. A change of less than about half a percent is within what another seed changes.
"""

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from statistics import fmean
from typing import NamedTuple, get_args

from benchmarks.quality.run import dataset, write_between
from recsys.dataset import Dataset
from training.config import Ablated, EvidenceName, SourceName, TrainingSettings
from training.evaluate import evaluate
from training.shop import Shop, load

FIGURES = (("all", "recall"), ("all", "ndcg"), ("new", "recall"), ("new", "ndcg"))
LEFT_OUT: tuple[Ablated | None, ...] = (None, *get_args(SourceName), *get_args(EvidenceName))


class Windows(NamedTuple):
    """Of one shop."""

    title: str
    shop: str
    horizon_days: float
    dates: tuple[str, ...]


WINDOWS = (
    Windows("Complete Journey", "complete-journey", 7.0, ("2017-10-20", "2017-11-10")),
    Windows("Online Retail II", "online-retail-2", 28.0, ("2011-06-01", "2011-09-01")),
)


def figures(shop: Shop, windows: Windows, left_out: Ablated | None) -> list[float]:
    """The ranker's FIGURES, means over the windows."""
    settings = TrainingSettings(
        horizon_days=windows.horizon_days, without=(left_out,) if left_out else ()
    )
    found = []
    for date in windows.dates:
        as_of = datetime.fromisoformat(date).replace(tzinfo=UTC)
        tasks = evaluate(shop, as_of, settings, references=False).report["tasks"]
        found.append([tasks[task]["rows"]["ranker"][metric] for task, metric in FIGURES])
    return [fmean(column) for column in zip(*found, strict=True)]


def measured(windows: Windows, data: Path, home: Path) -> dict[str, list[float]]:
    """FIGURES by what is left out; kept in `home`, so that an interrupted run goes on."""
    file = home / "ablation" / f"{windows.shop}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    found: dict[str, list[float]] = json.loads(file.read_text()) if file.exists() else {}
    path, shop = dataset(windows.shop, data, home), None
    if path is None:
        return {}
    for left_out in LEFT_OUT:
        name = left_out or "nothing"
        if name not in found:
            print(f"{windows.title} without {name}", file=sys.stderr)
            shop = shop or load(Dataset(path))
            found[name] = figures(shop, windows, left_out)
            file.write_text(json.dumps(found))
    return found


def table(shops: list[tuple[str, dict[str, list[float]]]]) -> str:
    """Markdown: the change of each figure by leaving one thing out."""
    heads = [f"{title}: {task} {metric}" for title, _ in shops for task, metric in FIGURES]
    lines = [f"| without | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    for left_out in LEFT_OUT[1:]:
        cells = [
            f"{100 * (figure / whole - 1):+.1f} %"
            for _, found in shops
            for figure, whole in zip(found[str(left_out)], found["nothing"], strict=True)
        ]
        lines.append(f"| `{left_out}` | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the public files")
    parser.add_argument("--home", type=Path, default=Path("var/quality"))
    parser.add_argument("--write", type=Path, help="page whose part between markers is replaced")
    asked = parser.parse_args()
    shops = [(one.title, measured(one, asked.data, asked.home)) for one in WINDOWS]
    text = table([(title, found) for title, found in shops if found])
    if asked.write:
        write_between(asked.write, "ablation", text)
    print(text)


if __name__ == "__main__":
    main()
