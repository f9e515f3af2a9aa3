"""A plan is paused, goes on, or ends for good: by a person, or by a breaker."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import text

from campaigns.instants import to_micros
from campaigns.ledger.events import record_event
from campaigns.ledger.ledger import Ledger, wait_for_claims
from campaigns.ledger.plans import close_in
from recsys.errors import LedgerError


def pause(
    ledger: Ledger, plan_id: str, *, by: str, reason: str, now: datetime, broken: bool = False
) -> bool:
    """No later claim commits; a call in flight may still end. False for one that is paused.

    broken: what went wrong is the reason, and nobody asked for it.
    """
    kind = "broken" if broken else "paused"
    return _turn(ledger, plan_id, ("live", "paused"), kind=kind, by=by, reason=reason, now=now)


def resume(ledger: Ledger, plan_id: str, *, by: str, reason: str, now: datetime) -> bool:
    """What is left may be sent again. False for one that is not paused."""
    return _turn(
        ledger, plan_id, ("paused", "live"), kind="resumed", by=by, reason=reason, now=now
    )  # fmt: skip


def cancel(
    ledger: Ledger, plan_id: str, keys: Sequence[str], *, by: str, reason: str, now: datetime
) -> bool:
    """Ends what is left of a plan: `keys`, its rows' send ids. False for one that has ended."""
    at = to_micros(now)
    with ledger.writing() as connection:
        wait_for_claims(connection)
        state = connection.execute(_STATE, {"plan_id": plan_id}).scalar()
        _known(plan_id, state)
        if state not in ("live", "paused"):
            return False
        close_in(connection, plan_id, keys, outcome="cancelled", reason=reason or "cancelled",
                 at=at)  # fmt: skip
        connection.execute(_SET, {"plan_id": plan_id, "state": "cancelled"})
        record_event(connection, plan_id, "cancelled", actor=by, reason=reason, at=at)
    return True


def canary_passed(ledger: Ledger, plan_id: str) -> bool:
    """Whether a plan's first few sends were found good."""
    with ledger.reading() as connection:
        return connection.execute(_PASSED, {"plan_id": plan_id}).first() is not None


def pass_canary(ledger: Ledger, plan_id: str, *, reason: str, now: datetime) -> None:
    """The rest may follow. Several senders may find so at once."""
    with ledger.writing() as connection:
        wait_for_claims(connection)
        if connection.execute(_PASSED, {"plan_id": plan_id}).first() is None:
            record_event(
                connection, plan_id, "canary_passed", actor="sender", reason=reason,
                at=to_micros(now),
            )  # fmt: skip


def last_accepted(ledger: Ledger, plan_id: str) -> int | None:
    """When the latest push of a plan was handed over, in microseconds."""
    with ledger.reading() as connection:
        found = connection.execute(
            text("SELECT MAX(at) FROM outcome WHERE plan_id = :plan_id AND outcome = 'accepted'"),
            {"plan_id": plan_id},
        ).scalar()
    return None if found is None else int(found)


def why_paused(ledger: Ledger, plan_id: str) -> str:
    """Who paused a plan, and why."""
    with ledger.reading() as connection:
        row = connection.execute(_LATEST, {"plan_id": plan_id}).first()
    return "paused" if row is None else f"{row.kind} by {row.actor}: {row.reason}"


def bad_news(ledger: Ledger, plan_id: str) -> dict[str, int]:
    """Sends of a plan by what was heard of them: bounced, unregistered, complained."""
    with ledger.reading() as connection:
        rows = connection.execute(_BAD_NEWS, {"plan_id": plan_id})
        return {row.kind: row.sends for row in rows}


def _turn(
    ledger: Ledger,
    plan_id: str,
    states: tuple[str, str],
    *,
    kind: str,
    by: str,
    reason: str,
    now: datetime,
) -> bool:
    before, after = states
    with ledger.writing() as connection:
        wait_for_claims(connection)
        state = connection.execute(_STATE, {"plan_id": plan_id}).scalar()
        _known(plan_id, state)
        if state == after:
            return False
        if state != before:
            raise LedgerError(f"Plan {plan_id} is {state}; only one that is {before} can be {kind}")
        connection.execute(_SET, {"plan_id": plan_id, "state": after})
        record_event(connection, plan_id, kind, actor=by, reason=reason, at=to_micros(now))
    return True


def _known(plan_id: str, state: str | None) -> None:
    if state is None:
        raise LedgerError(f"Plan {plan_id} is not in the ledger; `campaigns plan` makes one")


_STATE = text("SELECT state FROM plan WHERE plan_id = :plan_id")
_SET = text("UPDATE plan SET state = :state WHERE plan_id = :plan_id")
_PASSED = text("SELECT 1 FROM plan_event WHERE plan_id = :plan_id AND kind = 'canary_passed'")
_LATEST = text(
    "SELECT kind, actor, reason FROM plan_event WHERE plan_id = :plan_id"
    " AND kind IN ('paused', 'broken') ORDER BY seq DESC LIMIT 1"
)
_BAD_NEWS = text(
    "SELECT f.kind, COUNT(DISTINCT f.send_id) AS sends FROM feedback f"
    " JOIN send s ON s.send_id = f.send_id WHERE s.plan_id = :plan_id AND s.state <> 'refused'"
    " AND f.kind IN ('bounced', 'unregistered', 'complained') GROUP BY f.kind"
)
