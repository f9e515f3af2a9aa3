"""What the ledger says of each claim of a batch at the instant it is made: one read for all."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row

from campaigns.ledger.asked import TEXT, asked, packed
from campaigns.ledger.calls import Claim
from campaigns.ledger.purses import campaign_purse

_COLUMNS = {
    "plan_id": TEXT,
    "campaign": TEXT,
    "purse": TEXT,
    "channel": TEXT,
    "person": TEXT,
    "contact": TEXT,
    "send_id": TEXT,
}


def look_up(connection: Connection, claims: Sequence[Claim], keys: Sequence[str]) -> list[Row[Any]]:
    """One row for each claim, in order; keys: their send ids. The gate is held."""
    rows = packed(
        [
            (one.plan_id, one.campaign, campaign_purse(one.campaign), one.channel, one.person,
             one.contact, key)
            for one, key in zip(claims, keys, strict=True)
        ]
    )  # fmt: skip
    found = connection.execute(asked(connection, _COLUMNS, _LOOK_UP), {"rows": rows})
    return list(found.all())


def barred(row: Row[Any], one: Claim) -> str | None:
    """What forbids this call whatever the slots and the money say."""
    checks = (
        (row.settled, "already_settled"),
        (row.plan_state != "live", _ENDED.get(row.plan_state, "plan_replaced")),
        (row.campaign_live != 1, "campaign_stopped"),
        (row.suppressed, "suppressed"),
        (row.granted != 1, "no_consent"),
        (row.contact != one.contact, "contact_changed"),
        (row.held_out and not one.ghost, "held_out"),
        (one.ghost and not row.held_out, "not_held_out"),
    )
    return next((reason for found, reason in checks if found), None)


_ENDED = {"paused": "paused", "cancelled": "cancelled"}
# Scalar subqueries with a LIMIT: of an EXISTS PostgreSQL may read the whole table into a hash. Two
# questions of the arms, and not one with OR: each has an index of its own.
_HELD = (
    "(SELECT 1 FROM assignment g WHERE g.campaign = a.campaign AND g.arm = 'holdout'"
    " AND g.epoch = (SELECT MAX(epoch) FROM holdout_epoch e WHERE e.campaign = a.campaign)"
    " AND g.{0} = a.{0} LIMIT 1)"
)
_LOOK_UP = f"""
SELECT a.nth,
  (SELECT state FROM plan WHERE plan_id = a.plan_id) AS plan_state,
  (SELECT granted FROM consent c WHERE c.person = a.person AND c.channel = a.channel
    ORDER BY at DESC, granted, seq DESC LIMIT 1) AS granted,
  p.contact, p.timezone,
  (SELECT live FROM purse WHERE purse = a.purse) AS campaign_live,
  (SELECT 1 FROM outcome o WHERE o.plan_id = a.plan_id AND o.send_id = a.send_id
    AND o.outcome <> 'unknown' LIMIT 1) AS settled,
  (SELECT 1 FROM suppression s WHERE s.key IN (a.person, a.contact) LIMIT 1) AS suppressed,
  COALESCE({_HELD.format("person")}, {_HELD.format("contact")}) AS held_out,
  (SELECT MAX(try) FROM send t WHERE t.send_id = a.send_id) AS tries,
  live.plan_id AS live_plan, live.state AS live_state,
  pl.pseq AS pseq, pl.at AS p_at, pl.until AS p_until, pl.zone AS p_zone, pl.week AS p_week,
  cl.cseq AS cseq, cl.at AS c_at, cl.until AS c_until, cl.zone AS c_zone, cl.week AS c_week
FROM asked a
LEFT JOIN contact_point p ON p.seq = (SELECT seq FROM contact_point q
  WHERE q.person = a.person AND q.channel = a.channel ORDER BY at DESC, seq DESC LIMIT 1)
LEFT JOIN send live ON live.send_id = a.send_id AND live.state <> 'refused'
LEFT JOIN send pl ON pl.person = a.person
  AND pl.pseq = (SELECT MAX(pseq) FROM send WHERE person = a.person)
LEFT JOIN send cl ON cl.contact = a.contact
  AND cl.cseq = (SELECT MAX(cseq) FROM send WHERE contact = a.contact)
ORDER BY a.nth
"""
