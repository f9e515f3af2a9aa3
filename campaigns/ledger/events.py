"""What people did to a plan, and who: rows are added, never changed."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, insert, text

from campaigns.instants import from_micros, to_micros
from campaigns.ledger.ledger import Ledger, wait_for_claims
from campaigns.ledger.tables import plan_event
from recsys.errors import LedgerError


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened to a plan."""

    kind: str
    actor: str
    reason: str
    at: datetime


def record_event(
    connection: Connection, plan_id: str, kind: str, *, actor: str, at: int, reason: str = ""
) -> None:
    """Adds one, in the transaction of what it tells of."""
    connection.execute(
        insert(plan_event).values(plan_id=plan_id, kind=kind, actor=actor, reason=reason, at=at)
    )


def events(ledger: Ledger, plan_id: str) -> list[Event]:
    """Everything that happened to a plan, the earliest first."""
    with ledger.reading() as connection:
        return _events(connection, plan_id)


def approved(ledger: Ledger, plan_id: str) -> bool:
    """Whether a second person approved the plan."""
    return any(one.kind == "approved" for one in events(ledger, plan_id))


def approve(ledger: Ledger, plan_id: str, *, by: str, now: datetime) -> bool:
    """Records that a person who did not plan it approves a plan; False if one did before.

    LedgerError for a plan that cannot be sent any more, and for who planned it.
    """
    with ledger.writing() as connection:
        wait_for_claims(connection)
        state = connection.execute(
            text("SELECT state FROM plan WHERE plan_id = :p"), {"p": plan_id}
        ).scalar()
        if state not in ("live", "paused"):
            found = "not in the ledger" if state is None else state
            raise LedgerError(f"Plan {plan_id} is {found}; approve one that is still to be sent")
        told = _events(connection, plan_id)
        if any(one.kind == "approved" for one in told):
            return False
        if any(one.kind == "planned" and _same(one.actor, by) for one in told):
            raise LedgerError(f"'{by}' made plan {plan_id}; a second person has to approve it")
        record_event(connection, plan_id, "approved", actor=by, at=to_micros(now))
    return True


def _events(connection: Connection, plan_id: str) -> list[Event]:
    rows = connection.execute(
        text("SELECT kind, actor, reason, at FROM plan_event WHERE plan_id = :p ORDER BY seq"),
        {"p": plan_id},
    )
    return [Event(row.kind, row.actor, row.reason, from_micros(row.at)) for row in rows]


def _same(one: str, other: str) -> bool:
    return one.strip().casefold() == other.strip().casefold()
