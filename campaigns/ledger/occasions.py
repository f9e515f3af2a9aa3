"""Which occasions of a campaign were planned or missed, and whom it reached lately."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import bindparam, text

from campaigns.instants import to_micros
from campaigns.ledger.ledger import Ledger
from campaigns.ledger.plans import Registered

_AT_ONCE = 5_000


@dataclass(frozen=True, slots=True)
class Missed:
    """An occasion that nothing was or will be planned for, and why."""

    occasion: str
    campaign: str
    reason: str


def known_occasions(ledger: Ledger, campaign: str) -> set[str]:
    """All that the campaign ever had a plan for, or missed."""
    with ledger.reading() as connection:
        rows = connection.execute(
            text("SELECT occasion FROM plan WHERE campaign = :c"
                 " UNION SELECT occasion FROM missed WHERE campaign = :c"),
            {"c": campaign},
        )  # fmt: skip
        return {row.occasion for row in rows}


def record_missed(ledger: Ledger, missed: Sequence[Missed], *, now: datetime) -> list[Missed]:
    """Records each once; one that has a plan by now was not missed. Returns those that are new."""
    new = []
    with ledger.writing() as connection:
        for one in missed:
            row = connection.execute(
                text(
                    "INSERT INTO missed (occasion, campaign, reason, at)"
                    " SELECT :occasion, :campaign, :reason, :at WHERE NOT EXISTS"
                    " (SELECT 1 FROM plan WHERE occasion = :occasion)"
                    " ON CONFLICT DO NOTHING RETURNING occasion"
                ),
                {"occasion": one.occasion, "campaign": one.campaign, "reason": one.reason,
                 "at": to_micros(now)},
            ).first()  # fmt: skip
            if row is not None:
                new.append(one)
    return new


def open_plans(ledger: Ledger, campaigns: Collection[str]) -> list[Registered]:
    """Plans of these campaigns that are or may become live again, the oldest first."""
    statement = text(
        "SELECT plan_id, occasion, campaign, state FROM plan"
        " WHERE state IN ('live', 'paused') AND campaign IN :names ORDER BY registered_at, plan_id"
    ).bindparams(bindparam("names", expanding=True))
    with ledger.reading() as connection:
        rows = connection.execute(statement, {"names": sorted(campaigns)})
        return [Registered(*row) for row in rows]


def reached_since(ledger: Ledger, campaign: str, since: datetime) -> set[str]:
    """Person hashes that a push of the campaign took a slot of; held-out ones too."""
    with ledger.reading() as connection:
        rows = connection.execute(
            text("SELECT DISTINCT person FROM send WHERE campaign = :c AND at >= :since"
                 " AND state IN ('attempting', 'unknown', 'accepted')"),
            {"c": campaign, "since": to_micros(since)},
        )  # fmt: skip
        return set(rows.scalars())


def zones_of(ledger: Ledger, channel: str, people: Sequence[str]) -> dict[str, str | None]:
    """Person hash → zone of the latest contact point on the channel, for those who have one."""
    statement = text(
        "SELECT person, timezone FROM contact_point"
        " WHERE channel = :channel AND person IN :people ORDER BY at, seq"
    ).bindparams(bindparam("people", expanding=True))
    found: dict[str, str | None] = {}
    with ledger.reading() as connection:
        for start in range(0, len(people), _AT_ONCE):
            asked = {"channel": channel, "people": list(people[start : start + _AT_ONCE])}
            found |= {row.person: row.timezone for row in connection.execute(statement, asked)}
    return found


def spent_on(ledger: Ledger, purse: str) -> int:
    """What a purse gave so far; 0 for one that is not there."""
    with ledger.reading() as connection:
        used = connection.execute(
            text("SELECT used FROM purse WHERE purse = :purse"), {"purse": purse}
        ).scalar()
    return int(used or 0)
