"""What campaigns tell serving of a member's coupons."""

from campaigns.ledger.holdings import Holding, holding
from campaigns.run import Composition


def held_by(composition: Composition, member_id: str) -> Holding:
    """Nothing where there is no ledger; LedgerError if it cannot be reached."""
    if not composition.ledger_exists():
        return Holding()
    with composition.open_ledger() as ledger:
        return holding(ledger, member_id)
