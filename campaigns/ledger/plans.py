"""Which plan is live, what its rows came to, and what may be spent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, insert, select, text

from campaigns.instants import to_micros
from campaigns.ledger import tables
from campaigns.ledger.asked import TEXT, asked, packed
from campaigns.ledger.codes import free_codes
from campaigns.ledger.events import record_event
from campaigns.ledger.ledger import Ledger, wait_for_claims
from campaigns.ledger.purses import coupon_purse, redeemed_purse
from recsys.errors import LedgerError

UNLIMITED = 2**62
_ROWS_A_STATEMENT = 5_000


@dataclass(frozen=True, slots=True)
class Registered:
    """A plan as the ledger knows it."""

    plan_id: str
    occasion: str
    campaign: str
    state: str


def left(ledger: Ledger, limits: Mapping[str, int]) -> dict[str, int]:
    """How much of each purse could still be taken under these limits.

    Of a coupon with codes no more than has free ones; of one that nobody can redeem any more, none.
    LedgerError for a limit below what is spent.
    """
    with ledger.reading() as connection:
        rows = connection.execute(select(tables.purse)).all()
        most = {coupon_purse(coupon): n for coupon, n in free_codes(connection).items()}
    used = {row.purse: row.used for row in rows}
    for name, cap in limits.items():
        _check_spent(name, used.get(name, 0), cap)
    prefix = redeemed_purse("")
    for row in rows:
        if row.used >= row.cap and row.purse.startswith(prefix):
            most[coupon_purse(row.purse.removeprefix(prefix))] = 0
    return {name: min(cap - used.get(name, 0), most.get(name, cap)) for name, cap in limits.items()}


def _check_spent(name: str, used: int, cap: int) -> None:
    if used > cap:
        raise LedgerError(
            f"The limit {cap} of '{name}' is below the {used} already spent; raise it, or leave it "
            "as it was"
        )


def live_plan(ledger: Ledger, occasion: str) -> Registered | None:
    """The one plan of the occasion that may be sent, now or after a pause."""
    return _find(ledger, "occasion = :key AND state IN ('live', 'paused')", occasion)


def find_plan(ledger: Ledger, plan_id: str) -> Registered | None:
    """A plan by its id, whatever its state."""
    return _find(ledger, "plan_id = :key", plan_id)


def live_plans(ledger: Ledger) -> list[Registered]:
    """All plans that may be sent, oldest first."""
    with ledger.reading() as connection:
        rows = connection.execute(
            text("SELECT plan_id, occasion, campaign, state FROM plan WHERE state = 'live'"
                 " ORDER BY registered_at, plan_id")
        )  # fmt: skip
        return [Registered(*row) for row in rows]


def latest_plan(ledger: Ledger) -> Registered | None:
    """The plan registered last, whatever its state."""
    with ledger.reading() as connection:
        row = connection.execute(
            text("SELECT plan_id, occasion, campaign, state FROM plan"
                 " ORDER BY registered_at DESC, plan_id LIMIT 1")
        ).first()  # fmt: skip
    return None if row is None else Registered(*row)


def _find(ledger: Ledger, where: str, key: str) -> Registered | None:
    with ledger.reading() as connection:
        row = connection.execute(
            text(f"SELECT plan_id, occasion, campaign, state FROM plan WHERE {where}"),
            {"key": key},
        ).first()
    return None if row is None else Registered(*row)


def register(
    ledger: Ledger,
    plan: Registered,
    *,
    skipped: Mapping[str, str],
    planned_rows: int,
    purses: Mapping[str, int],
    replaced_rows: Sequence[str],
    now: datetime,
    by: str = "",
    replace: bool = True,
) -> bool:
    """Makes a plan the live one of its occasion, in one transaction; False if it already is.

    `skipped`: send id → reason of every row that is not to be sent. `purses`: limits, in counts
    or minor units. `replaced_rows`: send ids of the plan that this one replaces; those without
    an outcome are cancelled. `by`: who planned it. Without `replace` the first plan of an occasion
    stays its only one: False for another. LedgerError while the replaced plan has calls in flight,
    and for a limit below what is spent.
    """
    at = to_micros(now)
    with ledger.writing() as connection:
        wait_for_claims(connection)
        known = connection.execute(
            text("SELECT state FROM plan WHERE plan_id = :p"), {"p": plan.plan_id}
        ).scalar()
        if known is not None or not (replace or _is_first(connection, plan.occasion)):
            return False
        for name, cap in purses.items():
            _limit(connection, name, cap)
        _replace(connection, plan, replaced_rows, at)
        connection.execute(
            insert(tables.plan).values(
                plan_id=plan.plan_id,
                occasion=plan.occasion,
                campaign=plan.campaign,
                state=plan.state,
                planned_rows=planned_rows,
                registered_at=at,
            )
        )
        rows = [
            {"plan_id": plan.plan_id, "send_id": key, "outcome": "skipped", "reason": reason,
             "at": at}
            for key, reason in skipped.items()
        ]  # fmt: skip
        if rows:
            connection.execute(insert(tables.outcome), rows)
        record_event(connection, plan.plan_id, "planned", actor=by, at=at)
    return True


def _is_first(connection: Connection, occasion: str) -> bool:
    found = connection.execute(
        text("SELECT 1 FROM plan WHERE occasion = :o LIMIT 1"), {"o": occasion}
    )
    return found.first() is None


def _limit(connection: Connection, name: str, cap: int) -> None:
    row = connection.execute(
        text("SELECT used FROM purse WHERE purse = :purse"), {"purse": name}
    ).first()
    if row is None:
        connection.execute(insert(tables.purse).values(purse=name, live=1, used=0, cap=cap))
    else:
        _check_spent(name, row.used, cap)
        connection.execute(
            text("UPDATE purse SET cap = :cap WHERE purse = :purse"), {"cap": cap, "purse": name}
        )


def _replace(connection: Connection, plan: Registered, rows: Sequence[str], at: int) -> None:
    old = connection.execute(
        text("SELECT plan_id FROM plan WHERE occasion = :o AND state IN ('live', 'paused')"),
        {"o": plan.occasion},
    ).scalar()
    if old is None:
        return
    flying = connection.execute(
        text("SELECT COUNT(*) FROM send WHERE plan_id = :p AND state = 'attempting'"), {"p": old}
    ).scalar_one()
    if flying:
        raise LedgerError(
            f"Plan {old} of this occasion has {flying} sends in flight; "
            f"run `campaigns send {old}` to settle them, then plan again"
        )
    close_in(
        connection, old, rows, outcome="cancelled", reason=f"replaced by {plan.plan_id}", at=at
    )
    connection.execute(text("UPDATE plan SET state = 'replaced' WHERE plan_id = :p"), {"p": old})


def close_rows(
    ledger: Ledger, plan_id: str, keys: Sequence[str], *, outcome: str, reason: str, now: datetime
) -> None:
    """An outcome for rows that will not be sent; rows with an outcome or a live try are left."""
    if not keys:
        return
    with ledger.writing() as connection:
        wait_for_claims(connection)
        close_in(connection, plan_id, keys, outcome=outcome, reason=reason, at=to_micros(now))


def close_in(
    connection: Connection, plan_id: str, keys: Sequence[str], *, outcome: str, reason: str, at: int
) -> None:
    """`close_rows` in a transaction that does more, and holds the gate."""
    for start in range(0, len(keys), _ROWS_A_STATEMENT):
        connection.execute(
            asked(connection, {"send_id": TEXT}, _CLOSE),
            {
                "rows": packed([[key] for key in keys[start : start + _ROWS_A_STATEMENT]]),
                "plan_id": plan_id,
                "outcome": outcome,
                "reason": reason,
                "at": at,
            },
        )


_CLOSE = """
INSERT INTO outcome (plan_id, send_id, outcome, reason, at)
SELECT :plan_id, a.send_id, :outcome, :reason, :at FROM asked a WHERE NOT EXISTS (
  SELECT 1 FROM send s WHERE s.send_id = a.send_id AND s.plan_id = :plan_id
    AND s.state <> 'refused')
ON CONFLICT DO NOTHING
"""


def count_outcomes(ledger: Ledger, plan_id: str) -> dict[tuple[str, str], int]:
    """Rows of a plan by (outcome, reason)."""
    with ledger.reading() as connection:
        rows = connection.execute(
            text("SELECT outcome, reason, COUNT(*) FROM outcome WHERE plan_id = :p GROUP BY 1, 2"),
            {"p": plan_id},
        )
        return {(row[0], row[1]): row[2] for row in rows}


def outcomes(ledger: Ledger, plan_id: str) -> dict[str, tuple[str, str]]:
    """Send id → (outcome, reason) of every row of a plan that has one."""
    with ledger.reading() as connection:
        rows = connection.execute(
            text("SELECT send_id, outcome, reason FROM outcome WHERE plan_id = :p"), {"p": plan_id}
        )
        return {row.send_id: (row.outcome, row.reason) for row in rows}


def sent_already(ledger: Ledger, keys: Sequence[str]) -> set[str]:
    """Which of these send ids are being or have been sent, by whatever plan."""
    with ledger.reading() as connection:
        statement = text(
            "SELECT send_id FROM send WHERE send_id IN :keys AND state <> 'refused'"
        ).bindparams(bindparam("keys", expanding=True))
        found: set[str] = set()
        for start in range(0, len(keys), _ROWS_A_STATEMENT):
            part = list(keys[start : start + _ROWS_A_STATEMENT])
            found.update(connection.execute(statement, {"keys": part}).scalars())
        return found


def reached(ledger: Ledger, send_id: str) -> list[str]:
    """The person and contact hashes that a send went to; none for one that was never tried."""
    with ledger.reading() as connection:
        row = connection.execute(
            text("SELECT person, contact FROM send WHERE send_id = :key"), {"key": send_id}
        ).first()
    return [] if row is None else [row.person, row.contact]


def finish(ledger: Ledger, plan_id: str, *, retries: bool) -> bool:
    """Marks a plan done once every planned row has an outcome.

    `retries`: unknown sends may still be tried again, so they keep the plan live.
    """
    flying = "'attempting', 'unknown'" if retries else "'attempting'"
    with ledger.writing() as connection:
        row = connection.execute(
            text(
                "UPDATE plan SET state = 'done' WHERE plan_id = :p AND state IN ('live', 'paused')"
                " AND planned_rows = (SELECT COUNT(*) FROM outcome WHERE plan_id = :p)"
                " AND NOT EXISTS (SELECT 1 FROM send"
                f"   WHERE plan_id = :p AND state IN ({flying}))"
                " RETURNING plan_id"
            ),
            {"p": plan_id},
        ).first()
    return row is not None
