"""Messages to the shop's own people, to look at: so many a day, each recorded, none a push.

They are outcomes of no plan: they take no slot, no coupon and no money.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import bindparam, text

from campaigns.instants import DAY, to_micros
from campaigns.ledger.ledger import Ledger, wait_for_claims
from recsys.errors import LedgerError

_PREFIX = "test:"


def suppressed(ledger: Ledger, contacts: Sequence[str]) -> set[str]:
    """Those of the contact hashes that nothing is ever sent to again, tests neither."""
    statement = text("SELECT key FROM suppression WHERE key IN :keys").bindparams(
        bindparam("keys", expanding=True)
    )
    with ledger.reading() as connection:
        return set(connection.execute(statement, {"keys": list(contacts)}).scalars())


def begin_trials(
    ledger: Ledger, campaign: str, keys: Sequence[str], *, by: str, most: int, now: datetime
) -> None:
    """Records test messages before their calls; LedgerError for more than `most` in 24 hours."""
    at = to_micros(now)
    with ledger.writing() as connection:
        wait_for_claims(connection)
        made = connection.execute(
            text("SELECT COUNT(*) FROM outcome WHERE plan_id LIKE :prefix AND at > :since"),
            {"prefix": f"{_PREFIX}%", "since": at - DAY},
        ).scalar_one()
        if made + len(keys) > most:
            raise LedgerError(
                f"{len(keys)} test messages are asked for; of {most} in 24 hours "
                f"{max(0, most - made)} are left. Send fewer, or raise test_sends_a_day"
            )
        for key in keys:
            connection.execute(
                text("INSERT INTO outcome (plan_id, send_id, outcome, reason, at)"
                     " VALUES (:plan_id, :key, 'skipped', :reason, :at)"),
                {"plan_id": _PREFIX + campaign, "key": key, "reason": _reason(by, "called"),
                 "at": at},
            )  # fmt: skip


def end_trials(ledger: Ledger, campaign: str, ended: Mapping[str, str], *, by: str) -> None:
    """Records how the calls ended: send id → what the channel said."""
    with ledger.writing() as connection:
        for key, state in ended.items():
            connection.execute(
                text("UPDATE outcome SET reason = :reason"
                     " WHERE plan_id = :plan_id AND send_id = :key"),
                {"plan_id": _PREFIX + campaign, "key": key, "reason": _reason(by, state)},
            )  # fmt: skip


def _reason(by: str, state: str) -> str:
    return f"test by {by}: {state}"
