"""What each person got, and what they did with it, as audiences ask for it."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text

from campaigns.instants import from_micros
from campaigns.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True)
class History:
    """Of one person."""

    pushes: int = 0
    """handed over, or not known not to be"""
    last_push: datetime | None = None
    redemptions: int = 0
    """those that stand"""


NOTHING = History()


def histories(ledger: Ledger) -> dict[str, History]:
    """By person hash; who got nothing and redeemed nothing is left out."""
    with ledger.reading() as connection:
        pushed = {row.person: row for row in connection.execute(_PUSHES)}
        redeemed = {row.person: row.n for row in connection.execute(_REDEMPTIONS)}
    found = {}
    for person in pushed.keys() | redeemed.keys():
        row, used = pushed.get(person), redeemed.get(person, 0)
        if row is None:
            found[person] = History(redemptions=used)
        else:
            found[person] = History(row.n, from_micros(row.last), used)
    return found


_PUSHES = text(
    "SELECT person, COUNT(*) AS n, MAX(at) AS last FROM send"
    " WHERE ghost = 0 AND state IN ('accepted', 'unknown') GROUP BY person"
)
_REDEMPTIONS = text(
    "SELECT person, COUNT(*) AS n FROM redemption WHERE reversed_at IS NULL GROUP BY person"
)
