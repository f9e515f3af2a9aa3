"""How much of a list is what scoring every product of the catalogue would show.

    python -m benchmarks.overlap.run

For 1,000 members drawn from all who bought something: their home list of 20 as serving makes it
from the published model, beside the best 20 of the whole catalogue by the same blend and trees, at
the same instant and under the same rules, with item–item scores over all neighbours and untruncated
taste. Without a filter, and with filters that keep about 5 % of the catalogue. The ranker is
learned again from the dataset, which takes as long as training, and must be the model's. Exits
with 1 where a bar is missed.
"""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.overlap import whole
from benchmarks.scale.run import size
from benchmarks.serving.shop import FOLDER, SHOP, served_shop, told
from recsys.dataset import Dataset
from recsys.model import blend_to_json
from serving.asking import DAY_US, Request
from serving.models import open_current
from serving.placements import BUILT_IN
from serving.ranker import Ranker as Serving
from serving.recommend import recommend
from serving.rules import Asked
from training import ranker as learning
from training.evidence import Facts
from training.parallel import in_order
from training.ranker import Ranker
from training.run import as_of_day, recipe_of
from training.shop import load
from training.splits import ByDate

LIMIT = 20
MEMBERS = 1_000
FILTERS = {
    "none": None,
    "prices": "price <= 2",
    "aisles": 'category startswith "D1 > A12 > " or category startswith "D2 > A25 > "',
}
"""of the generated shop, by name: prices lie all over the catalogue, aisles side by side"""
AT_LEAST = {"none": 0.95}
AT_LEAST_FILTERED = 0.9


@dataclass(frozen=True, slots=True)
class Learned:
    """What training knows, beside the model that it wrote."""

    facts: Facts
    ranker: Ranker


def learned(dataset: Path, models: Path) -> Learned:
    """Learn again what the published model was made by; stops where it is another."""
    model = open_current(models)
    settings = recipe_of(models, model.version)
    as_of = datetime.fromisoformat(model.manifest["as_of"]).replace(tzinfo=UTC)
    with threadpool_limits(1, "blas"):
        shop = load(Dataset(dataset), before=None)
        day = as_of_day(shop, None)
        if day != as_of.timestamp() / 86_400:
            raise SystemExit(f"{model.version} is not of the end of {dataset}")
        found = learning.learn(ByDate(shop, day, settings), settings)
        if blend_to_json(found.ranker.blend) != model.manifest["blend"]:
            raise SystemExit(f"{model.version} was not made by this program from {dataset}")
        past = shop.past(day, min_support=settings.min_support)
        return Learned(learning.fit_facts(past, settings), found.ranker)


def compare(
    serving: Serving, made: Learned, members: NDArray[np.int32], filters: Mapping[str, str | None]
) -> dict[str, dict[str, float]]:
    """By filter: the mean and the lowest tenth of the overlap, and what the filter keeps."""
    model, slow = serving.model, whole.untruncated(made.facts)
    groups = np.asarray(model.groups)
    allowed = {name: _allowed(serving, text) for name, text in filters.items()}
    now = made.facts.past.day

    def ideal(member: int) -> dict[str, NDArray[np.int32]]:
        scored = whole.scored(slow, member)
        return {
            name: whole.best(made.ranker, scored, mask, groups, LIMIT)
            for name, mask in allowed.items()
        }

    ideals = in_order(ideal, members.tolist())
    catalogue = made.facts.past.catalogue
    return {
        name: {
            "keeps": round(float(allowed[name][catalogue].mean()), 4),
            **_overlap(
                [one[name] for one in ideals],
                list(fast(serving, members, text, now=now)),
            ),
        }
        for name, text in filters.items()
    }


def fast(
    serving: Serving, members: NDArray[np.int32], text: str | None, *, now: float
) -> Iterator[list[int | None]]:
    """Product rows of each member's home list."""
    for member in members.tolist():
        request = Request(
            member_id=serving.model.members.text(member),
            placement=BUILT_IN["home"],
            seeds=(),
            excluded=(),
            limit=LIMIT,
            now=round(now * DAY_US),
            rest_hours=0,
            asked=Asked(filter=text),
        )
        yield [serving.product_row(item.product_id) for item in recommend(serving, request, [])]


def _allowed(serving: Serving, text: str | None) -> NDArray[np.bool_]:
    view = serving.views.of(BUILT_IN["home"].rules, Asked(filter=text))
    return ~view.tables.barred


def _overlap(ideals: list[NDArray[np.int32]], lists: list[list[int | None]]) -> dict[str, float]:
    """Share of the ideal list, of LIMIT products or as many as there are, that is shown."""
    shares = [
        len(set(ideal.tolist()) & set(shown)) / len(ideal)
        for ideal, shown in zip(ideals, lists, strict=True)
        if len(ideal)
    ]
    return {
        "overlap": round(float(np.mean(shares)), 4),
        "lowest_tenth": round(float(np.quantile(shares, 0.1)), 4),
        "members": len(shares),
    }


def main(arguments: argparse.Namespace) -> int:
    """Runs it, prints it, and returns the exit code."""
    if arguments.home is None:
        home = served_shop(arguments.folder, arguments.shop).home
    else:
        home = arguments.home
    named = {"none": None, **{one: one for one in arguments.filter}}
    filters = named if arguments.filter else FILTERS
    told("learning the ranker again")
    made = learned(home / "dataset", home / "models")
    bought = np.flatnonzero(made.facts.member_orders > 0)
    drawn = np.random.default_rng(1).permutation(bought)[: arguments.members]
    members = np.sort(drawn).astype(np.int32)
    told("scoring every product")
    serving = Serving(open_current(home / "models"))
    found: dict[str, Any] = compare(serving, made, members, filters)
    if arguments.json:
        print(json.dumps(found))
    else:
        for name, one in found.items():
            print(
                f"filter {name}: keeps {one['keeps']:.1%}, overlap@{LIMIT} {one['overlap']:.3f} "
                f"over {one['members']:,} members (lowest tenth {one['lowest_tenth']:.2f})"
            )
    missed = [
        name
        for name, one in found.items()
        if one["overlap"] < AT_LEAST.get(name, AT_LEAST_FILTERED)
    ]
    for name in missed:
        print(f"FAILED: filter {name} is below its bar", file=sys.stderr)
    return int(bool(missed))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="overlap with scoring every product")
    parser.add_argument("--folder", type=Path, default=FOLDER, help="of generated shops")
    parser.add_argument("--shop", type=size, default=SHOP, help="events,members,products")
    parser.add_argument("--home", type=Path, help="of your own: its dataset and published model")
    parser.add_argument("--filter", action="append", default=[], help="of your own; repeat it")
    parser.add_argument("--members", type=int, default=MEMBERS)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    sys.exit(main(parser.parse_args()))
