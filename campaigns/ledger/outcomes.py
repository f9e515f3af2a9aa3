"""The one outcome of a planned row."""

from collections.abc import Sequence

from sqlalchemy import Connection

from campaigns.ledger.asked import TEXT, asked, packed
from recsys.errors import LedgerError


def record_outcomes(
    connection: Connection,
    rows: Sequence[tuple[str, str]],
    *,
    outcome: str,
    reason: str,
    at: int,
) -> None:
    """One outcome a planned row, (plan id, send id); only `unknown` may still turn out.

    LedgerError where one has ended already.
    """
    if not rows:
        return
    ended = connection.execute(
        asked(connection, {"plan_id": TEXT, "send_id": TEXT}, _RECORD),
        {"rows": packed(rows), "outcome": outcome, "reason": reason, "at": at},
    ).all()
    if len(ended) != len(rows):
        before = sorted({key for _, key in rows} - {row.send_id for row in ended})
        raise LedgerError(f"Send {before[0]} already has an outcome in its plan; run verify")


_RECORD = """
INSERT INTO outcome (plan_id, send_id, outcome, reason, at)
SELECT plan_id, send_id, :outcome, :reason, :at FROM asked WHERE true
ON CONFLICT (plan_id, send_id) DO UPDATE SET outcome = excluded.outcome,
  reason = excluded.reason, at = excluded.at WHERE outcome.outcome = 'unknown'
RETURNING send_id
"""
