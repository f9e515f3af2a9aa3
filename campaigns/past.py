"""What campaigns tell the dataset of the past."""

import polars as pl

from campaigns.ledger.dataset_tables import dataset_tables
from campaigns.run import Composition


def promised(composition: Composition) -> dict[str, pl.DataFrame]:
    """Tables of the dataset; none where there is no ledger. LedgerError if it cannot be reached."""
    if not composition.ledger_exists():
        return {}
    with composition.open_ledger() as ledger:
        return dataset_tables(ledger)
