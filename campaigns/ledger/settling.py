"""How a call ended: the first write after it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sqlalchemy import Connection

from campaigns.instants import to_micros
from campaigns.ledger.asked import NUMBER, TEXT, asked, packed
from campaigns.ledger.calls import Claimed
from campaigns.ledger.chains import FOLLOWED
from campaigns.ledger.codes import free_codes_of
from campaigns.ledger.ledger import Ledger, wait_for_claims
from campaigns.ledger.outcomes import record_outcomes
from campaigns.ledger.purses import purses, put_back
from campaigns.ledger.tokens import free_tokens

_TRIES = {"send_id": TEXT, "try": NUMBER}


@dataclass(frozen=True, slots=True)
class Ends:
    """Calls that ended alike: `accepted`, or `unknown`."""

    calls: Sequence[Claimed]
    state: str
    at: datetime
    """when all of them had ended"""
    settled: list[str] = field(default_factory=list)
    """their send ids, once it is written; without those that another sender had settled before"""


def settle(ledger: Ledger, ends: Sequence[Ends]) -> list[str]:
    """Records how calls ended, with their outcomes.

    Returns the send ids that it settled; one that was settled before is left as it is. A slot
    whose call was made once moves to the call's real end, unless a later push counts from it.
    """
    if not any(one.calls for one in ends):
        return []
    with ledger.writing() as connection:
        write_ends(connection, ends)
    return [key for one in ends for key in one.settled]


def write_ends(connection: Connection, ends: Sequence[Ends]) -> None:
    """`settle` in a transaction that does more."""
    for one in ends:
        if not one.calls:
            continue
        at = to_micros(one.at)
        rows = connection.execute(
            asked(connection, _TRIES, _SETTLE),
            {"rows": _packed(one.calls), "state": one.state, "ended": at},
        ).all()
        open_ones = [(row.plan_id, row.send_id) for row in rows]
        record_outcomes(connection, open_ones, outcome=one.state, reason=one.state, at=at)
        one.settled[:] = [key for _, key in open_ones]


def give_back(ledger: Ledger, done: Sequence[Claimed]) -> list[str]:
    """Returns slot, coupon, code and money of calls that surely delivered nothing.

    A send that was taken over by another sender is left alone, for its other call may have
    delivered; and so is one that a later push counts from already.
    Returns the send ids that were given back.
    """
    if not done:
        return []
    with ledger.writing() as connection:
        wait_for_claims(connection)
        rows = connection.execute(
            asked(connection, _TRIES, _GIVE_BACK), {"rows": _packed(done)}
        ).all()
        keys = [row.send_id for row in rows]
        put_back(
            connection,
            [
                part
                for row in rows
                for part in purses(row.campaign, row.coupon, row.cost, row.reserved)
            ],
        )
        if any(row.reserved for row in rows):
            connection.execute(
                asked(connection, {"send_id": TEXT}, _UNRESERVE),
                {"rows": packed([[key] for key in keys])},
            )
        free_codes_of(connection, keys)
        free_tokens(connection, keys)
    return keys


def _packed(done: Sequence[Claimed]) -> str:
    return packed([(one.send_id, one.attempt) for one in done])


_SETTLE = f"""
UPDATE send SET state = :state,
  until = CASE WHEN {FOLLOWED} THEN until WHEN :ended > until THEN :ended
    WHEN :state = 'accepted' AND calls = 1 AND at <= :ended THEN :ended ELSE until END
WHERE (send_id, try) IN (SELECT send_id, try FROM asked) AND state IN ('attempting', 'unknown')
RETURNING send_id, plan_id
"""
_GIVE_BACK = f"""
UPDATE send SET state = 'refused',
  pseq = NULL, pprev_until = NULL, pprev_week = NULL, pprev_week_here = NULL, pweek_there = NULL,
  cseq = NULL, cprev_until = NULL, cprev_week = NULL, cprev_week_here = NULL, cweek_there = NULL
WHERE (send_id, try) IN (SELECT send_id, try FROM asked) AND calls = 1 AND state = 'attempting'
  AND NOT {FOLLOWED}
RETURNING send_id, campaign, coupon, cost, reserved
"""
_UNRESERVE = """
UPDATE send SET reserved = 0
WHERE send_id IN (SELECT send_id FROM asked) AND state = 'refused' AND reserved > 0
"""
