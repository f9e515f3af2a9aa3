"""What a ranker picks, before it is put into words."""

import msgspec

from serving.tables import NOWHERE


class Pick(msgspec.Struct, frozen=True, gc=False):
    """A recommended product and what put it there."""

    product: int
    score: float
    reason: str
    """one of tables.CODES"""
    last_day: int = 0
    every_days: int = 0
    entry: int = NOWHERE
    """of the model's neighbours: where another product pointed here most"""
    chance: float = 1.0
    """that it stands in this list, where that was drawn"""
