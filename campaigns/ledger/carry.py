"""Pushes that this ledger did not make: links of the chains that the cap counts from.

A link joins the chain of its person, and that of its contact point, where it is later than the end
of the chain; an earlier one is kept as a row alone, for a later push bars longer than it does.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from sqlalchemy import Connection, text

from campaigns.instants import to_micros
from campaigns.ledger.ledger import Ledger, wait_for_claims

NEVER = to_micros(datetime(9000, 1, 1, tzinfo=UTC))
"""the end of a push that bars for good"""

Fate = Literal["new", "known", "in_flight"]
"""`in_flight`: a call to the same person or contact point has not ended; try again after it"""


@dataclass(frozen=True, slots=True)
class Carried:
    """One push of another sender, or of a ledger that was lost."""

    person: str
    """empty where nobody is known at the contact point"""
    contact: str
    channel: str
    sent_at: datetime
    send_id: str = ""
    """where the message was ours: it is then not sent again"""

    @property
    def key(self) -> str:
        """The same push again has the same."""
        at = to_micros(self.sent_at)
        whole = f"carry\x00{self.person}\x00{self.contact}\x00{at}"
        return self.send_id or hashlib.sha256(whole.encode()).hexdigest()[:32]


def carry(ledger: Ledger, pushes: Sequence[Carried], *, source: str) -> list[Fate]:
    """Adds pushes, earliest first, and tells the fate of each in the given order."""
    fates: dict[int, Fate] = {}
    with ledger.writing() as connection:
        wait_for_claims(connection)
        for at in sorted(range(len(pushes)), key=lambda at: pushes[at].sent_at):
            fates[at] = _carry(connection, pushes[at], source)
    return [fates[at] for at in range(len(pushes))]


def _carry(connection: Connection, one: Carried, source: str) -> Fate:
    if connection.execute(_LIVE, {"key": one.key}).first() is not None:
        return "known"
    if connection.execute(_FLYING, {"person": one.person, "contact": one.contact}).first():
        return "in_flight"
    at = to_micros(one.sent_at)
    person = _next(connection, "person", one.person, at)
    contact = _next(connection, "contact", one.contact, at)
    link(
        connection,
        {"key": one.key, "source": source, "channel": one.channel, "person": one.person,
         "contact": one.contact, "at": at, "until": at, "pseq": person[0],
         "pprev_until": person[1], "cseq": contact[0], "cprev_until": contact[1]},
    )  # fmt: skip
    return "new"


def _next(connection: Connection, unit: str, who: str, at: int) -> tuple[int | None, int | None]:
    """The place of a link that ends at an instant, and the end of the one before it."""
    if not who:
        return None, None
    seq, until = end_of(connection, unit, who)
    if until is not None and until >= at:
        return None, None
    return seq + 1, until


def end_of(connection: Connection, unit: str, who: str) -> tuple[int, int | None]:
    """The last link of a chain of a `person` or a `contact`, and its end; 0 and None if none."""
    row = connection.execute(_LAST[unit], {"who": who}).first()
    return (0, None) if row is None else (row[0], row[1])


def link(connection: Connection, values: dict[str, object]) -> None:
    """One carried row as it is; the schema holds that it continues its chains."""
    connection.execute(_INSERT, values)


_LAST = {
    unit: text(
        f"SELECT {unit[0]}seq, until FROM send WHERE {unit} = :who AND {unit[0]}seq IS NOT NULL"
        f" ORDER BY {unit[0]}seq DESC LIMIT 1"
    )
    for unit in ("person", "contact")
}
_LIVE = text("SELECT 1 FROM send WHERE send_id = :key AND state <> 'refused'")
# Settling a call moves its end, and a link after it would hold that fast.
_FLYING = text(
    "SELECT 1 FROM send WHERE state = 'attempting' AND (person = :person OR contact = :contact)"
)
_INSERT = text("""
INSERT INTO send (send_id, try, plan_id, occasion, campaign, channel, person, contact, ghost, cost,
                  state, at, until, pseq, pprev_until, cseq, cprev_until)
SELECT :key, 1 + COALESCE((SELECT MAX(try) FROM send WHERE send_id = :key), 0),
       '', :source, '', :channel, :person, :contact, 0, 0,
       'carry', :at, :until, :pseq, :pprev_until, :cseq, :cprev_until
""")
