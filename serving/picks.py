"""What a ranker picks, before it is put into words."""

from typing import NamedTuple


class Pick(NamedTuple):
    """A recommended product and what put it there."""

    product: int
    score: float
    reason: str
    """one of scoring.REASON_CODES, "session", "fresh", "pinned" or "found" """
    last_day: int = 0
    every_days: int = 0
    entry: int | None = None
    """of the model's neighbours: where another product pointed here most"""
