"""What the ledger knows of the past, as tables of a dataset: pushes, redemptions, arms.

Members whom the ledger has forgotten are left out: nothing names them.
"""

import polars as pl
from sqlalchemy import Connection, text

from campaigns.ledger.ledger import Ledger

_NAMES = """WITH names AS (
  SELECT DISTINCT person, member_id FROM contact_point WHERE member_id IS NOT NULL)"""

_PUSHES = f"""{_NAMES}
SELECT s.at AS sent_at, n.member_id, s.campaign AS campaign_id, s.coupon AS coupon_id, s.channel
FROM send s JOIN names n ON n.person = s.person
WHERE s.ghost = 0 AND s.state IN ('accepted', 'unknown') AND s.released = 0"""

_REDEMPTIONS = f"""{_NAMES}
SELECT r.at AS redeemed_at, n.member_id, r.coupon AS coupon_id, r.campaign AS campaign_id,
  r.order_id
FROM redemption r JOIN names n ON n.person = r.person
WHERE r.reversed_at IS NULL"""

# Both arms from the first try on, whatever became of it: to be refused is no draw. The draw that
# was in force when the plan was made must still be in force, and must have decided: who shares
# the contact point of somebody held out is held out by it, too, whatever their own lot.
_ARMS = f"""{_NAMES}, tried AS (
  SELECT send_id, MIN(at) AS at, MAX(try) AS last,
    MAX(CASE WHEN ghost = 0 AND state IN ('accepted', 'unknown') THEN 1 ELSE 0 END) AS sent
  FROM send WHERE state <> 'carry' GROUP BY send_id)
SELECT t.at, n.member_id, s.campaign AS campaign_id, s.coupon AS coupon_id, a.arm, e.share,
  e.epoch, t.sent
FROM tried t JOIN send s ON s.send_id = t.send_id AND s.try = t.last
JOIN names n ON n.person = s.person
JOIN plan p ON p.plan_id = s.plan_id
JOIN holdout_epoch e ON e.campaign = s.campaign AND e.epoch = (
  SELECT MAX(o.epoch) FROM holdout_epoch o WHERE o.campaign = s.campaign AND o.started_at <= s.at)
JOIN assignment a ON a.campaign = s.campaign AND a.epoch = e.epoch AND a.person = s.person
WHERE e.started_at <= p.registered_at AND (a.arm = 'holdout') = (s.ghost = 1)"""

_TABLES = {"pushes": _PUSHES, "redemptions": _REDEMPTIONS, "arms": _ARMS}
_TIMES = ("sent_at", "redeemed_at", "at")
_WHOLE = (*_TIMES, "epoch", "sent")
_AT_A_TIME = 50_000
"""rows: Python's own take ten times as much memory as a table's"""


def dataset_tables(ledger: Ledger) -> dict[str, pl.DataFrame]:
    """By table: pushes that were accepted or may have been and did not bounce, redemptions that
    stand, and the arms of all whose push was drawn by lot; by time."""
    with ledger.reading() as connection:
        return {table: _read(connection, statement) for table, statement in _TABLES.items()}


def _read(connection: Connection, statement: str) -> pl.DataFrame:
    result = connection.execute(text(statement), execution_options={"yield_per": _AT_A_TIME})
    columns = list(result.keys())
    schema = pl.Schema({name: pl.Int64 if name in _WHOLE else pl.String for name in columns})
    parts = [
        pl.DataFrame(dict(zip(columns, zip(*part, strict=True), strict=True)), schema)
        for part in result.partitions(_AT_A_TIME)
    ]
    times = [name for name in columns if name in _TIMES]
    rows = pl.concat([schema.to_frame(), *parts])
    return rows.with_columns(
        pl.from_epoch(name, "us").dt.replace_time_zone("UTC") for name in times
    ).sort(columns)
