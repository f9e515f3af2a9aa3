"""A dataset: a folder of tables, their rules, and what was known at an instant."""

from recsys.dataset.checks import Checked, Part, check
from recsys.dataset.dataset import Dataset
from recsys.dataset.tables import TABLES, Column, Table

__all__ = ["TABLES", "Checked", "Column", "Dataset", "Part", "Table", "check"]
