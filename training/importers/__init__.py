"""Other people's data as a dataset: anyone's files, and the Complete Journey."""

from training.importers.complete_journey import import_complete_journey
from training.importers.csv import import_csv
from training.importers.writing import ImportReport, TableReport

__all__ = ["ImportReport", "TableReport", "import_complete_journey", "import_csv"]
