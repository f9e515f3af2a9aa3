"""A plan as a page that a person can read."""

from campaigns.report.page import check_place, write_page
from campaigns.report.report import report
from campaigns.report.spoken import show_report

__all__ = ["check_place", "report", "show_report", "write_page"]
