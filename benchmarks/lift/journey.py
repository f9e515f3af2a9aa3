"""How much of the noise the past explains, on real households: Complete Journey."""

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from campaigns.instants import to_micros
from campaigns.ledger.arms import Arms
from campaigns.lift.always import DAYS, OUTCOMES, reach, start_of
from campaigns.lift.difference import difference, size_of
from campaigns.lift.moments import moments
from campaigns.lift.outcomes import COVARIATES, outcomes
from campaigns.lift.sample import Sample
from recsys.dataset import Dataset
from training.importers import import_complete_journey

SLOTS = (datetime(2017, 7, 3, tzinfo=UTC), datetime(2017, 10, 2, tzinfo=UTC))
END = datetime(2018, 1, 1, tzinfo=UTC)
DRAWS = 20
SHARE = 0.1
"""held out"""
VISIBLE = (19_000, 1_000)


def journey(folder: Path) -> Dataset:
    """The shop, imported."""
    return Dataset(import_complete_journey(folder / "dataset").out)


@dataclass(frozen=True, slots=True)
class Narrow:
    """Of one day's profit."""

    narrowed: float
    """share by which the interval is narrower for what was known before"""
    visible: float
    """the least effect that is told from none, in times what a household brings anyway, where
    `VISIBLE` are planned and held out"""


def narrowed(dataset: Dataset) -> dict[int, Narrow]:
    """Days after the slot → means over draws of the arms."""
    tables = [_households(dataset, slot) for slot in SLOTS]
    rng = np.random.default_rng(0)
    draws = [(table, rng.random(len(table)) < SHARE) for table in tables for _ in range(DRAWS)]
    found = {}
    for day in DAYS:
        one = np.mean([_narrow(*draw, day) for draw in draws], axis=0)
        found[day] = Narrow(float(one[0]), float(one[1]))
    return found


def _households(dataset: Dataset, slot: datetime) -> pl.DataFrame:
    """What each household did before and after, by what the report itself reads."""
    ids = dataset.scan("members").select("member_id").collect()["member_id"]
    people = pl.DataFrame(
        {
            "person": ids, "cluster": ids, "arm": "treat", "slot": to_micros(slot),
            "first": True, "erased": False, "epoch": 1,
        }
    )  # fmt: skip
    members = dict(zip(ids, ids, strict=True))
    empty = Arms(*([] for _ in Arms.__dataclass_fields__))
    of = partial(outcomes, margin_rate=0.25, minor_units=100, now=END)
    return of(Sample(people), empty, dataset, members)


def _narrow(table: pl.DataFrame, held: np.ndarray, day: int) -> tuple[float, float]:
    columns = [*COVARIATES, *(f"{name}@{day}" for name in OUTCOMES)]
    rows = table.select(columns).to_numpy()
    found = difference(moments(rows[~held]), moments(rows[held]), covariates=len(COVARIATES))
    at, size = OUTCOMES.index("profit"), size_of(*VISIBLE)
    error = found.error[at] * np.sqrt(found.size / size)
    wide = error * reach(size, start_of(*VISIBLE))[at]
    return 1 - found.error[at] / found.plain_error[at], wide / found.held_out[at]
