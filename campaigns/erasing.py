"""What campaigns forget of a member that a shop erases."""

from campaigns.ledger.erasing import erase
from campaigns.run import Composition


def forget_member(composition: Composition, member_id: str) -> None:
    """Take the member out of the ledger, where there is one; LedgerError if it cannot be reached.

    Plans are immutable: what they name goes with them after `retain_days`, and is not sent."""
    if composition.ledger_exists():
        with composition.open_ledger() as ledger:
            erase(ledger, member_id, now=composition.now())
