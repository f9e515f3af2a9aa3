"""Counts at the provider, and holds it against what was promised and what the ledger says."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text

from campaigns.instants import WEEK, words
from campaigns.ledger.ledger import Ledger
from campaigns.selftest.provider import TAKEN
from campaigns.verify import verify


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that the provider took."""

    key: str
    to: str
    channel: str
    at: int


def read_taken(folder: Path) -> list[Taken]:
    """All of them, as they came."""
    file = folder / TAKEN
    lines = file.read_text().splitlines() if file.exists() else []
    return [Taken(**json.loads(line)) for line in lines]


def breaches(ledger: Ledger, taken: list[Taken], members: Mapping[str, str]) -> Iterator[str]:
    """Every promise that was not kept. members: who each send id is for."""
    yield from too_close(taken, members)
    yield from _against_ledger(ledger, taken)
    yield from _unended(ledger)
    yield from (f"verify: {one.rule}: {one.text}" for one in verify(ledger).breaches)


def too_close(taken: list[Taken], members: Mapping[str, str]) -> Iterator[str]:
    """Two messages to one member, or to one contact point, within a week."""
    last: dict[str, Taken] = {}
    for one in sorted(taken, key=lambda one: one.at):
        member = members.get(one.key)
        if member is None:
            yield f"send {one.key} is in no plan"
            continue
        for unit in (f"member {member}", f"{one.channel} address {one.to}"):
            before = last.get(unit)
            if before is not None and one.at - before.at < WEEK:
                yield (
                    f"{unit} got send {before.key} at {words(before.at)} and send {one.key} at "
                    f"{words(one.at)}, less than 7 days apart"
                )
            last[unit] = one


def _against_ledger(ledger: Ledger, taken: list[Taken]) -> Iterator[str]:
    """What was taken holds its slot, and what is said to be accepted was taken."""
    with ledger.reading() as connection:
        rows = connection.execute(
            text("SELECT send_id, state FROM send WHERE state <> 'refused' AND ghost = 0")
        )
        states = {row.send_id: row.state for row in rows}
    keys = {one.key for one in taken}
    for key in sorted(keys):
        if states.get(key) not in ("accepted", "unknown"):
            yield f"the provider took send {key}, and the ledger has it {states.get(key, 'free')}"
    for key, state in states.items():
        if state == "accepted" and key not in keys:
            yield f"the ledger has send {key} accepted, and the provider never took it"


def _unended(ledger: Ledger) -> Iterator[str]:
    with ledger.reading() as connection:
        plans = connection.execute(_PLANS).all()
        twice = connection.execute(_TWICE).scalar_one()
        silent = connection.execute(_SILENT).scalar_one()
    for row in plans:
        if (row.ended, row.flying) != (row.planned_rows, 0):
            yield (
                f"plan {row.plan_id}: {row.planned_rows} rows, {row.ended} outcomes, "
                f"{row.flying} calls still open"
            )
    if twice:
        yield f"{twice} sends have more than one outcome"
    if silent:
        yield f"{silent} rows were skipped without a reason"


def open_rows(ledger: Ledger) -> tuple[int, int]:
    """Rows of all plans without an outcome, and calls whose end nobody recorded."""
    with ledger.reading() as connection:
        rows = connection.execute(_PLANS).all()
    return sum(row.planned_rows - row.ended for row in rows), sum(row.flying for row in rows)


def count_all(ledger: Ledger) -> Counter[str]:
    """All outcomes of all plans, the reasons of skips beside."""
    with ledger.reading() as connection:
        rows = connection.execute(_OUTCOMES).all()
    found: Counter[str] = Counter()
    for row in rows:
        name = f"skipped: {row.reason}" if row.outcome == "skipped" else row.outcome
        found[name] += row.rows
    return found


_PLANS = text("""
SELECT plan_id, planned_rows,
  (SELECT COUNT(*) FROM outcome o WHERE o.plan_id = plan.plan_id) AS ended,
  (SELECT COUNT(*) FROM send s WHERE s.plan_id = plan.plan_id AND s.state = 'attempting') AS flying
FROM plan ORDER BY plan_id
""")
_TWICE = text(
    "SELECT COUNT(*) FROM (SELECT send_id FROM outcome GROUP BY send_id HAVING COUNT(*) > 1) t"
)
_SILENT = text("SELECT COUNT(*) FROM outcome WHERE outcome = 'skipped' AND reason = ''")
_OUTCOMES = text(
    "SELECT outcome, reason, COUNT(*) AS rows FROM outcome GROUP BY 1, 2 ORDER BY 1, 2"
)
