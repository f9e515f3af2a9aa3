"""What silently ruins a recommender, looked for in a dataset before anything is learned from it."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import polars as pl

from recsys.dataset import Dataset
from training.doctor import catalogue, events, times
from training.doctor.finding import Finding
from training.doctor.placements import Placement, placements

GRAVITY = ("error", "warning", "note")


@dataclass(frozen=True, slots=True)
class Examination:
    """What was found, the gravest first, and what each placement can be built on."""

    findings: list[Finding]
    placements: list[Placement]

    def report(self) -> dict[str, Any]:
        """As JSON."""
        return {
            "findings": [asdict(finding) for finding in self.findings],
            "placements": [asdict(placement) for placement in self.placements],
        }


def rejected(dataset: Dataset) -> Iterator[Finding]:
    """What the checks of a table left out when it was read."""
    for table, rows in dataset.rejected.items():
        if rows:
            yield Finding(
                "bad rows", "warning",
                f"{rows:,} rows of {table} break a rule of the table and are left out",
                "import the files anew: import csv writes each bad row and its rule to "
                "rejects.parquet",
            )  # fmt: skip


def examine(dataset: Dataset, *, now: datetime) -> Examination:
    """Look at every table that bears on the ranking. Only events must exist."""
    log, promotions = dataset.read("events"), dataset.read("promotions")
    products, members = dataset.read("products"), dataset.read("members")
    purchases = log.filter((pl.col("kind") == "purchase") & pl.col("product_id").is_not_null())
    found = [
        *rejected(dataset),
        *events.findings(log, purchases, products, members),
        *times.findings(
            log,
            purchases,
            promotions,
            members,
            static=dataset.static("members"),
            now=now,
        ),
        *catalogue.findings(dataset, purchases, products),
    ]
    found.sort(key=lambda finding: GRAVITY.index(finding.gravity))
    return Examination(found, placements(log, purchases))
