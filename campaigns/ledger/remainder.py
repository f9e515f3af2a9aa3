"""Which of a plan's rows are still to be sent, and where their members are reached."""

from collections.abc import Sequence
from dataclasses import dataclass

from campaigns.ledger.asked import TEXT, asked, packed
from campaigns.ledger.ledger import Ledger


@dataclass(frozen=True, slots=True)
class Left:
    """A row without an outcome, or one whose call may be made again."""

    place: int
    """among those that were asked for"""
    contact: str | None
    address: str | None
    """None for a member who is not reached on the channel"""
    timezone: str | None
    language: str | None
    attempt: int | None
    """of a call whose end is not known"""
    until: int | None
    """its latest end, in microseconds"""


def rows_left(
    ledger: Ledger, plan_id: str, channel: str, rows: Sequence[tuple[str, str]]
) -> list[Left]:
    """Those of (person, send id) that are left, in order."""
    with ledger.looking_up() as connection:
        found = connection.execute(
            asked(connection, {"person": TEXT, "send_id": TEXT}, _LEFT),
            {"rows": packed(rows), "plan_id": plan_id, "channel": channel},
        )
        return [Left(*row) for row in found]


# Rows by whole keys: by the plan alone either database would read all of the plan each time.
_LEFT = """
SELECT nth, contact, address, timezone, language, flying, until FROM (
  SELECT a.nth, p.contact, p.address, p.timezone, p.language, s.until,
    (SELECT o.outcome FROM outcome o WHERE o.plan_id = :plan_id AND o.send_id = a.send_id LIMIT 1)
      AS outcome,
    CASE WHEN s.plan_id = :plan_id AND s.state IN ('attempting', 'unknown') THEN s.try END AS flying
  FROM asked a
  LEFT JOIN send s ON s.send_id = a.send_id AND s.state <> 'refused'
  LEFT JOIN contact_point p ON p.seq = (SELECT seq FROM contact_point q
    WHERE q.person = a.person AND q.channel = :channel ORDER BY at DESC, seq DESC LIMIT 1)) rows
WHERE outcome IS NULL OR flying IS NOT NULL ORDER BY nth
"""
