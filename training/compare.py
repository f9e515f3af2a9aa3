"""Two variants of an experiment, or two models, by what the members did who were shown them."""

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.comparison import CONFIDENCE, SRM_CHANCE, Estimate, difference, mean, split_chance
from recsys.dataset import Dataset
from recsys.errors import DataError
from training.attribution import attributed, with_subject

MEASURES = ("clicks", "conversion", "revenue", "spend")
"""per member: clicks in lists; whether anything was bought out of one; what that cost; and all that
was bought since the first list, out of one or not"""
MOST_BOTH = 0.01
"""Share of the members who met both: a sticky draw has none but those who changed their id."""


@dataclass(frozen=True, slots=True)
class Arm:
    """One side."""

    name: str
    members: int
    impressions: int
    measures: dict[str, Estimate]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Both sides; without a result where `withheld` says why."""

    arms: tuple[Arm, Arm]
    both: int
    """members who were shown both, and are left out"""
    split_chance: float
    """of such a split of the members, if the draw was the one that was meant"""
    differences: dict[str, Estimate]
    """the second arm less the first"""
    withheld: str | None

    def report(self) -> dict[str, Any]:
        """What `--json` prints."""
        return {"confidence": CONFIDENCE, **asdict(self)}


def compare(
    dataset: Dataset, names: tuple[str, str], *, window: timedelta, split: tuple[float, float]
) -> Comparison:
    """Compare what impressions name as `variant` or `model_version`.

    split: in which ratio the members were to be drawn. Raises DataError where a name was never
    shown to two members.
    """
    shown = _shown(dataset, names)
    arms = shown.group_by("subject").agg(
        pl.col("arm").n_unique().alias("arms"), pl.col("arm").first(), pl.col("shown_at").min()
    )
    one_arm = arms.filter(pl.col("arms") == 1)
    both = len(arms) - len(one_arm)
    shown = shown.join(one_arm, on="subject", how="semi")
    for arm, name in enumerate(names):
        if (one_arm["arm"] == arm).sum() < 2:
            raise DataError(_unseen(dataset, name))
    found = tuple(int((one_arm["arm"] == arm).sum()) for arm in (0, 1))
    chance = split_chance((found[0], found[1]), split)
    withheld = _doubts(found, both, chance, split)
    if withheld is None:
        measured = _measured(dataset, shown, one_arm, window)
        of = [{name: values[arm] for name, values in measured.items()} for arm in (0, 1)]
    else:
        of = [{}, {}]
    counts = [int((shown["arm"] == arm).sum()) for arm in (0, 1)]
    first, second = (
        Arm(name, found[arm], counts[arm], {one: mean(values) for one, values in of[arm].items()})
        for arm, name in enumerate(names)
    )
    differences = {one: difference(of[0][one], of[1][one]) for one in of[0]}
    return Comparison((first, second), both, chance, differences, withheld)


def _shown(dataset: Dataset, names: tuple[str, str]) -> pl.DataFrame:
    """arm, request_id, subject, product_ids, shown_at; each request once."""
    first, second = (
        (pl.col("variant") == name) | (pl.col("model_version") == name) for name in names
    )
    rows = with_subject(dataset.scan("impressions")).with_columns(
        pl.when(first.fill_null(False)).then(0).when(second.fill_null(False)).then(1).alias("arm")
    )
    return (
        rows.filter(pl.col("arm").is_not_null(), pl.col("subject").is_not_null())
        .select("arm", "request_id", "subject", "product_ids", "shown_at")
        .collect()
        .unique("request_id", keep="first", maintain_order=True)
    )


def _unseen(dataset: Dataset, name: str) -> str:
    table = dataset.scan("impressions")
    counted = [
        table.select(pl.col(column).alias("name")).drop_nulls().unique().collect()["name"].to_list()
        for column in ("variant", "model_version")
    ]
    known = sorted({one for names in counted for one in names})
    there = f"there are: {', '.join(known)}" if known else "there are no impressions: drain first"
    return f"{dataset.path}: {name!r} was not shown to two members of its own; {there}"


def _doubts(
    found: tuple[int, ...], both: int, chance: float, split: tuple[float, float]
) -> str | None:
    """Why a comparison would mislead."""
    if both > MOST_BOTH * (sum(found) + both):
        return (
            f"{both:,} of {sum(found) + both:,} members were shown both, so the members were not "
            "drawn: compare two variants of an experiment"
        )
    if chance < SRM_CHANCE:
        return (
            f"{found[0]:,} and {found[1]:,} members are no split of {split[0]:g}:{split[1]:g} "
            f"(chance {chance:.1g}): some were lost on one side, and the rest are not alike. Look "
            "for what differs besides the lists (errors, logging, bots), or state the split that "
            "was meant with --split"
        )
    return None


def _measured(
    dataset: Dataset, shown: pl.DataFrame, arms: pl.DataFrame, window: timedelta
) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Each measure of each member, by arm."""
    events = _events(dataset, shown, arms)
    credit = attributed(shown.drop("arm"), events, window)
    bought = pl.col("kind") == "purchase"
    of_lists = credit.group_by(pl.col("shown_to").alias("subject")).agg(
        (pl.col("kind") == "click").sum().alias("clicks"),
        bought.any().alias("conversion"),
        pl.col("amount").filter(bought).sum().alias("revenue"),
    )
    since = events.join(arms.select("subject", "shown_at"), on="subject").filter(
        bought, pl.col("occurred_at") >= pl.col("shown_at")
    )
    spent = since.group_by("subject").agg(pl.col("amount").sum().alias("spend"))
    members = (
        arms.join(of_lists, on="subject", how="left")
        .join(spent, on="subject", how="left")
        .select("arm", pl.col(MEASURES).cast(pl.Float64).fill_null(0))
    )
    first, second = (members.filter(pl.col("arm") == arm) for arm in (0, 1))
    return {one: (first[one].to_numpy(), second[one].to_numpy()) for one in MEASURES}


def _events(dataset: Dataset, shown: pl.DataFrame, arms: pl.DataFrame) -> pl.DataFrame:
    """Clicks and purchases of these members, or that name one of these requests, since then."""
    rows = with_subject(dataset.scan("events")).filter(
        pl.col("kind").is_in(["click", "purchase"]),
        pl.col("occurred_at") >= shown["shown_at"].min(),
    )
    wanted = rows.select("subject", "product_id", "request_id", "occurred_at", "kind", "amount")
    ours = pl.col("subject").is_in(arms["subject"].implode())
    named = pl.col("request_id").is_in(shown["request_id"].implode())
    return wanted.filter((ours | named).fill_null(False)).collect()
