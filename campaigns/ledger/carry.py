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
    ends = end_of(connection, "person", one.person), end_of(connection, "contact", one.contact)
    later = [end is not None and (end.until is None or end.until < at) for end in ends]
    link(
        connection,
        key=one.key,
        source=source,
        channel=one.channel,
        who=(one.person, one.contact),
        after=(ends[0] if later[0] else None, ends[1] if later[1] else None),
        at=at,
        until=at,
    )
    return "new"


@dataclass(frozen=True, slots=True)
class End:
    """Of a chain: its last link; of one without links, the place before the first."""

    seq: int = 0
    until: int | None = None
    week: int | None = None


def end_of(connection: Connection, unit: str, who: str) -> End | None:
    """Of the chain of a `person` or a `contact`; None for nobody."""
    if not who:
        return None
    row = connection.execute(_LAST[unit], {"who": who}).first()
    return End() if row is None else End(*row)


def link(
    connection: Connection,
    *,
    key: str,
    source: str,
    channel: str,
    who: tuple[str, str],
    after: tuple[End | None, End | None],
    at: int,
    until: int,
) -> None:
    """One carried row of a person and a contact, after the ends of their chains; None: not in it.

    The schema holds that it continues them.
    """
    row: dict[str, object] = {"key": key, "source": source, "channel": channel, "at": at,
                              "until": until, "person": who[0], "contact": who[1]}  # fmt: skip
    for prefix, end in zip("pc", after, strict=True):
        row[f"{prefix}seq"] = None if end is None else end.seq + 1
        row[f"{prefix}prev_until"] = None if end is None else end.until
        row[f"{prefix}prev_week"] = None if end is None else end.week
    connection.execute(_INSERT, row)


_LAST = {
    unit: text(
        f"SELECT {unit[0]}seq, until, week FROM send"
        f" WHERE {unit} = :who AND {unit[0]}seq IS NOT NULL ORDER BY {unit[0]}seq DESC LIMIT 1"
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
                  state, at, until, pseq, pprev_until, pprev_week, cseq, cprev_until, cprev_week)
SELECT :key, 1 + COALESCE((SELECT MAX(try) FROM send WHERE send_id = :key), 0),
       '', :source, '', :channel, :person, :contact, 0, 0,
       'carry', :at, :until, :pseq, :pprev_until, :pprev_week, :cseq, :cprev_until, :cprev_week
""")
