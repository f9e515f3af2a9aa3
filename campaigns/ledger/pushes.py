"""Slots that other senders take: their pushes count under the same cap as ours.

A row is a link like any other, so the schema holds its gap. It belongs to no plan and takes no
coupon and no money.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, insert, text

from campaigns.instants import from_micros, to_micros
from campaigns.ledger import tables
from campaigns.ledger.calls import Claim
from campaigns.ledger.chains import LINK_COLUMNS, Link, last_link, link
from campaigns.ledger.ledger import Ledger, pass_gate, wait_for_claims
from campaigns.ledger.standing import look_up
from campaigns.ledger.tokens import free_place, free_tokens, held_tokens, take_tokens
from campaigns.policy.cap import Cap
from campaigns.policy.weeks import week_of

CONSENTED = "push"
"""the occasion of a row whose consent was looked up"""
UNASKED = "push that needs no consent"


@dataclass(frozen=True, slots=True)
class Push:
    """What another sender is about to do."""

    push_id: str
    member_id: str
    channel: str
    source: str
    """who sends it"""
    needs_consent: bool = True

    @property
    def key(self) -> str:
        """One row for each push id."""
        return _key(self.push_id)


@dataclass(frozen=True, slots=True)
class Slot:
    """It is taken: the call has to end by `until`."""

    until: datetime
    new: bool
    """False where the same push took it before"""


@dataclass(frozen=True, slots=True)
class Barred:
    """Nothing was taken, and why."""

    reason: str
    free_at: datetime | None = None
    """for `capped`"""


def take_slot(
    ledger: Ledger, push: Push, *, cap: Cap, now: datetime, until: datetime
) -> Slot | Barred:
    """Checks and takes the member's slot in one transaction; the same push again changes nothing.

    LedgerError when the gate is shut.
    """
    at, end = to_micros(now), to_micros(until)
    person = ledger.identity.person(push.member_id)
    with ledger.writing() as connection:
        pass_gate(connection, ledger, at)
        held = connection.execute(_HELD, {"key": push.key}).first()
        if held is not None:
            return _again(held, person, push, at)
        contact = connection.execute(_CONTACT, {"person": person, "channel": push.channel}).scalar()
        if contact is None:
            return Barred("no_contact")
        one = Claim("", push.key, "", "", push.channel, person, contact, 0)
        row = look_up(connection, [one], [push.key])[0]
        if row.suppressed:
            return Barred("suppressed")
        if push.needs_consent and row.granted != 1:
            return Barred("no_consent")
        return _take(connection, push, one, row, cap=cap, at=at, until=end)


def drop_slot(ledger: Ledger, push_id: str) -> Literal["dropped", "followed"] | None:
    """Gives a slot back, for the message was surely not sent; None for an unknown push.

    `followed`: a later push counts from it already. The same again changes nothing.
    """
    key = {"key": _key(push_id)}
    with ledger.writing() as connection:
        wait_for_claims(connection)
        if connection.execute(_KNOWN, key).first() is None:
            return None
        if connection.execute(_DROP, key).first() is not None:
            free_tokens(connection, [key["key"]])
            return "dropped"
        held = connection.execute(_HELD, key).first()
    return "dropped" if held is None else "followed"


def _key(push_id: str) -> str:
    return hashlib.sha256(f"push\x00{push_id}".encode()).hexdigest()[:32]


def _again(held: Row[Any], person: str, push: Push, at: int) -> Slot | Barred:
    if (held.person, held.channel) != (person, push.channel):
        return Barred("push_differs")
    return Barred("over") if held.until < at else Slot(from_micros(held.until), False)


def _take(
    connection: Connection, push: Push, one: Claim, row: Row[Any], *, cap: Cap, at: int, until: int
) -> Slot | Barred:
    links: dict[str, Link] = {}
    free_at, zone = 0, row.timezone
    week = week_of(from_micros(at), zone, default_zone=cap.zone)
    for prefix in ("p", "c"):
        made, free = link(last_link(row, prefix), cap=cap, at=at, zone=zone, week=week)
        links[prefix], free_at = made, max(free_at, free)
    tokens, token_free_at = _tokens(connection, one, push.key, cap=cap, at=at, until=until)
    free_at = max(free_at, token_free_at)
    if free_at > at:
        return Barred("capped", from_micros(free_at))
    take_tokens(connection, tokens)
    values = {
        "send_id": push.key,
        "try": (row.tries or 0) + 1,
        "plan_id": "",
        "occasion": CONSENTED if push.needs_consent else UNASKED,
        "campaign": f"push:{push.source}",
        "channel": push.channel,
        "person": one.person,
        "contact": one.contact,
        "ghost": 0,
        "cost": 0,
        "state": "accepted",
        "at": at,
        "until": until,
        "gap": min(made.gap for made in links.values()),
        "zone": zone,
        "week": week,
    }
    chained = {
        name.format(prefix): cell
        for prefix, made in links.items()
        for name, cell in zip(LINK_COLUMNS, made.cells(), strict=True)
    }
    connection.execute(insert(tables.send).values(values | chained))
    return Slot(from_micros(until), True)


def _tokens(
    connection: Connection, one: Claim, key: str, *, cap: Cap, at: int, until: int
) -> tuple[list[tuple[str, str, int, str, int]], int]:
    """What the channel's own cap takes, and when it is free."""
    limit = cap.channels.get(one.channel)
    if limit is None:
        return [], 0
    wanted = [(unit, one.channel) for unit in (one.person, one.contact)]
    held = held_tokens(connection, wanted)
    tokens, free_at = [], 0
    for unit in wanted:
        place, free = free_place(held.get(unit, {}), limit.most, at=at)
        free_at = max(free_at, free)
        if place is not None:
            tokens.append((*unit, place, key, until + limit.span))
    return tokens, free_at


_HELD = text("SELECT person, channel, until FROM send WHERE send_id = :key AND state <> 'refused'")
_KNOWN = text("SELECT 1 FROM send WHERE send_id = :key AND plan_id = ''")
_CONTACT = text(
    "SELECT contact FROM contact_point WHERE person = :person AND channel = :channel"
    " ORDER BY at DESC, seq DESC LIMIT 1"
)
_DROP = text("""
UPDATE send SET state = 'refused',
  pseq = NULL, pprev_until = NULL, pprev_week = NULL, pprev_week_here = NULL, pweek_there = NULL,
  cseq = NULL, cprev_until = NULL, cprev_week = NULL, cprev_week_here = NULL, cweek_there = NULL
WHERE send_id = :key AND plan_id = '' AND state = 'accepted'
  AND NOT EXISTS (SELECT 1 FROM send n WHERE n.person = send.person AND n.pseq = send.pseq + 1)
  AND NOT EXISTS (SELECT 1 FROM send n WHERE n.contact = send.contact AND n.cseq = send.cseq + 1)
RETURNING send_id
""")
