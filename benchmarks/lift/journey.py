"""How much of the noise the past explains, on real households: Complete Journey."""

import tempfile
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from campaigns.instants import to_micros
from campaigns.ledger.arms import Arms
from campaigns.lift.always import DAYS, OUTCOMES
from campaigns.lift.difference import difference
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


def narrowed() -> dict[int, float]:
    """Days after the slot → the share by which the profit's interval is narrower, mean."""
    with tempfile.TemporaryDirectory() as folder:
        dataset = Dataset(import_complete_journey(Path(folder) / "dataset").out)
        tables = [_households(dataset, slot) for slot in SLOTS]
    rng = np.random.default_rng(0)
    draws = [(table, rng.random(len(table)) < SHARE) for table in tables for _ in range(DRAWS)]
    return {day: float(np.mean([_narrower(*draw, day) for draw in draws])) for day in DAYS}


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
    table = partial(
        outcomes, margin_rate=0.25, minor_units=100, now=datetime(2018, 1, 1, tzinfo=UTC)
    )
    return table(Sample(people), empty, dataset, members)


def _narrower(table: pl.DataFrame, held: np.ndarray, day: int) -> float:
    columns = [*COVARIATES, *(f"{name}@{day}" for name in OUTCOMES)]
    rows = table.select(columns).to_numpy()
    found = difference(moments(rows[~held]), moments(rows[held]), covariates=len(COVARIATES))
    at = OUTCOMES.index("profit")
    return float(1 - found.error[at] / found.plain_error[at])
