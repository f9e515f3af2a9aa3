"""An erased member leaves the ledger: nothing names them or their contact points any more."""

from datetime import datetime

from sqlalchemy import text

from campaigns.instants import to_micros
from campaigns.ledger.ledger import Ledger, wait_for_claims
from campaigns.ledger.saying import say

SOURCE = "erasure"


def erase(ledger: Ledger, member_id: str, *, now: datetime) -> None:
    """Withdraw every consent, and empty the addresses and the id. When it returns, no later claim
    commits: what a live plan still has for the member is skipped. What was sent, and what was
    suppressed, stays under keyed hashes, so that no slot and no refusal is forgotten. The same
    again changes nothing."""
    person = ledger.identity.person(member_id)
    with ledger.writing() as connection:
        wait_for_claims(connection)
        granted = connection.execute(_GRANTED, {"person": person}).scalars()
        for channel in list(granted):
            say(connection, person, channel, False, at=to_micros(now), source=SOURCE)
        connection.execute(_EMPTY, {"person": person})


_GRANTED = text("SELECT channel FROM current_consent WHERE person = :person AND granted = 1")
_EMPTY = text("UPDATE contact_point SET address = NULL, member_id = NULL WHERE person = :person")
