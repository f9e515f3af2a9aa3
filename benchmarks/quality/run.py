"""Evaluate on public shops and print, or write into docs/quality.md, how good the ranking is.

    python -m benchmarks.quality.run --data FOLDER --write docs/quality.md

FOLDER holds online-retail-2/online_retail_II.parquet and amazon-cds/{train,test}.txt; Complete
Journey comes with the package of the demo. Reports are kept in --home: a window that has one is
not run again unless --again says so, and a shop whose files are missing is left out.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.quality.plan import GROUPS, Group
from benchmarks.quality.report import Reached, bar_table, bars, table
from benchmarks.quality.shops import SHOPS


def dataset(shop: str, data: Path, home: Path) -> Path | None:
    """The shop as a dataset, made on first need; None if its files are not there."""
    out = home / "datasets" / shop
    if not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            SHOPS[shop](data, out)
        except FileNotFoundError as missing:
            print(f"{shop} is left out: {missing}", file=sys.stderr)
            return None
    return out


def reports(group: Group, data: Path, home: Path, *, again: bool) -> list[dict[str, Any]]:
    """One report a window; none if the shop is not there."""
    found = []
    for name, options in group.commands():
        kept = home / "reports" / f"{name}.json"
        if again or not kept.exists():
            shop = dataset(group.shop, data, home)
            if shop is None:
                return []
            print(f"evaluate {group.shop} {' '.join(options)}", file=sys.stderr)
            command = [sys.executable, "-m", "guesslike", "evaluate", str(shop), *options, "--json"]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(done.stdout)
        found.append(json.loads(kept.read_text()))
    return found


def write_between(page: Path, name: str, text: str) -> None:
    """Replace what a page has between the markers of a name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    whole = page.read_text()
    if begin not in whole or end not in whole:
        raise SystemExit(f"{page} needs the lines {begin} and {end}.")
    head, _, rest = whole.partition(begin)
    page.write_text(f"{head}{begin}\n\n{text}\n{end}{rest.partition(end)[2]}")


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the public files")
    parser.add_argument("--home", type=Path, default=Path("var/quality"))
    parser.add_argument("--only", nargs="*", choices=[group.name for group in GROUPS])
    parser.add_argument("--again", action="store_true", help="run windows that have a report too")
    parser.add_argument(
        "--write", type=Path, help="page whose part between the markers is replaced"
    )
    asked = parser.parse_args()
    tables: list[str] = []
    reached: list[Reached] = []
    for group in GROUPS:
        if asked.only and group.name not in asked.only:
            continue
        if found := reports(group, asked.data, asked.home, again=asked.again):
            tables.append(table(group, found))
            reached += bars(group, found)
    text = "\n".join([bar_table(reached), *tables])
    if asked.write:
        write_between(asked.write, "quality", text)
    print(text)


if __name__ == "__main__":
    main()
