"""A claim is the last write before a call: it checks and takes everything, or nothing.

All that a claim looks at is read anew in its own transaction, and claims follow one another: the
gate is the first row that each of them locks. What is worked out here, the tables' constraints
hold as well.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, text

from campaigns.instants import from_micros, to_micros
from campaigns.ledger import tables
from campaigns.ledger.chains import Link, last_link, link
from campaigns.ledger.codes import code_of, some_codes, take_codes
from campaigns.ledger.identity import send_id
from campaigns.ledger.ledger import Ledger, pass_gate
from campaigns.ledger.outcomes import record_outcomes
from campaigns.ledger.purses import Open, purses
from campaigns.ledger.standing import barred, look_up
from campaigns.ledger.tokens import free_place, held_tokens, take_tokens
from campaigns.policy.cap import ROLLING, Cap
from campaigns.policy.quiet_hours import USUAL, QuietHours


@dataclass(frozen=True, slots=True)
class Claim:
    """What a sender is about to do for one person."""

    plan_id: str
    occasion: str
    campaign: str
    coupon: str
    channel: str
    person: str
    contact: str
    """the contact point that the message was rendered for"""
    cost: int
    """minor units; what the budget pays"""
    reserve: int = 0
    """minor units; what the coupon may take off an order at most, where the campaign limits that"""
    ghost: bool = False
    """held out: takes the slot, costs nothing, makes no call"""
    coded: bool = False
    """the message has room for one of the coupon's codes, and needs it"""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The slot, the coupon and the money are taken: make the call, then settle."""

    send_id: str
    attempt: int
    until: datetime
    """the call may not begin after this"""
    code: str | None = None
    """that the message carries"""


@dataclass(frozen=True, slots=True)
class Declined:
    """Nothing was taken, and why."""

    send_id: str
    reason: str
    free_at: datetime | None = None
    """for `capped` and `quiet_hours`: when they end"""


FirstCall = Callable[[str | None], datetime]
"""zone → when a member of it may be called first; later than now in quiet hours"""


def claim(
    ledger: Ledger,
    claims: Sequence[Claim],
    *,
    now: datetime,
    until: datetime,
    cap: Cap = ROLLING,
    quiet: QuietHours = USUAL,
) -> list[Claimed | Declined]:
    """Checks and takes everything for each claim, in one transaction, in the given order.

    `until` is the latest end of the calls; a member whose quiet hours begin earlier is declined.
    LedgerError when the gate is shut; then nothing is taken.
    """
    with ledger.writing() as connection:
        pass_gate(connection, ledger, to_micros(now))
        if not claims:
            return []
        batch = _Batch(connection, claims, cap, to_micros(now), to_micros(until))
        answers = batch.answer(quiet.first_calls(now, until - now))
        batch.write()
    return answers


@dataclass(slots=True)
class _Taken:
    """One claim that goes through."""

    claim: Claim
    key: str
    attempt: int
    zone: str | None
    links: dict[str, Link]
    code: str | None = None


class _Batch:
    """The claims of one transaction: worked out one after another, written together."""

    def __init__(
        self, connection: Connection, claims: Sequence[Claim], cap: Cap, at: int, until: int
    ) -> None:
        self.connection, self.claims, self.cap, self.at, self.until = (
            connection, claims, cap, at, until,
        )  # fmt: skip
        self.keys = [send_id(one.occasion, one.person) for one in claims]
        self.taken: dict[str, _Taken] = {}
        self.last: dict[tuple[str, str], Link] = {}
        """the link that this transaction adds to each chain"""
        self.purses = Open.of(connection, {name for one in claims for _, name, _ in _parts(one)})
        capped = {(key, one.channel) for one in claims if one.channel in cap.channels
                  for key in (one.person, one.contact)}  # fmt: skip
        self.tokens = held_tokens(connection, sorted(capped)) if capped else {}
        self.new_tokens: list[tuple[str, str, int, str, int]] = []
        self.codes = self._codes()

    def _codes(self) -> dict[str, list[str]]:
        wanted: dict[str, int] = {}
        for one in self.claims:
            if one.coded and not one.ghost:
                wanted[one.coupon] = wanted.get(one.coupon, 0) + 1
        return {
            coupon: some_codes(self.connection, coupon, most)[::-1]
            for coupon, most in wanted.items()
        }

    def answer(self, first_call: FirstCall) -> list[Claimed | Declined]:
        """One answer for each claim, in order."""
        found = look_up(self.connection, self.claims, self.keys)
        return [
            self._answer(one, key, row, first_call)
            for one, key, row in zip(self.claims, self.keys, found, strict=True)
        ]

    def _answer(
        self, one: Claim, key: str, row: Row[Any], first_call: FirstCall
    ) -> Claimed | Declined:
        forbidden = self._forbidden(one, key, row, first_call)
        if forbidden is not None:
            return forbidden
        links, free_at = self._links(one, row)
        places, token_free_at = self._places(one)
        free_at = max(free_at, token_free_at)
        if free_at > self.at:
            return Declined(key, "capped", from_micros(free_at))
        taken = _Taken(one, key, (row.tries or 0) + 1, row.timezone, links)
        broke = self._pay(taken)
        if broke is not None:
            return Declined(key, broke)
        self._take(taken, places)
        return Claimed(key, taken.attempt, from_micros(self.until), taken.code)

    def _forbidden(
        self, one: Claim, key: str, row: Row[Any], first_call: FirstCall
    ) -> Declined | None:
        reason = barred(row, one)
        if reason is not None:
            return Declined(key, reason)
        awake = first_call(row.timezone)
        if to_micros(awake) > self.at:
            return Declined(key, "quiet_hours", awake)
        if key in self.taken:
            return Declined(key, "in_flight")
        if row.live_plan is None:
            return None
        ours = row.live_plan == one.plan_id and row.live_state != "accepted"
        return Declined(key, "in_flight" if ours else "already_sent")

    def _links(self, one: Claim, row: Row[Any]) -> tuple[dict[str, Link], int]:
        """The links of both chains that this push would be, and when it may be made."""
        links, free_at = {}, 0
        for prefix, unit in (("p", one.person), ("c", one.contact)):
            last = self.last.get((prefix, unit)) or last_link(row, prefix)
            made, free = link(last, cap=self.cap, at=self.at, zone=row.timezone)
            links[prefix], free_at = made, max(free_at, free)
        return links, free_at

    def _places(self, one: Claim) -> tuple[list[tuple[str, int]], int]:
        """The tokens of a channel with a cap of its own, and when there will be some."""
        limit = self.cap.channels.get(one.channel)
        if limit is None:
            return [], 0
        places, free_at = [], 0
        for key in dict.fromkeys((one.person, one.contact)):
            held = self.tokens.setdefault((key, one.channel), {})
            place, free = free_place(held, limit.most, at=self.at)
            free_at = max(free_at, free)
            if place is not None:
                places.append((key, place))
        return places, free_at

    def _pay(self, taken: _Taken) -> str | None:
        one = taken.claim
        if one.ghost:
            return None
        codes = self.codes.get(one.coupon) if one.coded else None
        if codes is not None and not codes:
            return "codes_used_up"
        broke = self.purses.take(_parts(one))
        if broke is None and codes:
            taken.code = codes.pop()
        return broke

    def _take(self, taken: _Taken, places: Sequence[tuple[str, int]]) -> None:
        one = taken.claim
        until = self.at if one.ghost else self.until
        self.taken[taken.key] = taken
        for prefix, unit in (("p", one.person), ("c", one.contact)):
            self.last[prefix, unit] = taken.links[prefix].ending(until)
        for key, place in places:
            free_at = until + self.cap.channels[one.channel].span
            self.tokens[key, one.channel][place] = free_at
            self.new_tokens.append((key, one.channel, place, taken.key, free_at))

    def write(self) -> None:
        """All rows of what goes through."""
        if not self.taken:
            return
        connection = self.connection
        self.purses.close(connection)
        coded = [(one.code, one.key) for one in self.taken.values() if one.code is not None]
        take_codes(connection, coded)
        take_tokens(connection, self.new_tokens)
        rows = [self._row(one) for one in self.taken.values()]
        connection.execute(insert(tables.send), rows)
        ghosts = [(one.claim.plan_id, one.key) for one in self.taken.values() if one.claim.ghost]
        record_outcomes(connection, ghosts, outcome="held_out", reason="holdout", at=self.at)

    def _row(self, taken: _Taken) -> dict[str, object]:
        one = taken.claim
        gap = min(made.gap for made in taken.links.values())
        return {
            "send_id": taken.key,
            "try": taken.attempt,
            "plan_id": one.plan_id,
            "occasion": one.occasion,
            "campaign": one.campaign,
            "coupon": one.coupon,
            "channel": one.channel,
            "person": one.person,
            "contact": one.contact,
            "ghost": int(one.ghost),
            "cost": 0 if one.ghost else one.cost,
            "reserved": 0 if one.ghost else one.reserve,
            "state": "accepted" if one.ghost else "attempting",
            "at": self.at,
            "until": self.at if one.ghost else self.until,
            "gap": gap,
            "zone": taken.zone,
            "week": taken.links["p"].week,
        } | {name: value for prefix, made in taken.links.items()
             for name, value in made.columns(prefix).items()}  # fmt: skip


def _parts(one: Claim) -> list[tuple[str, str, int]]:
    return [] if one.ghost else purses(one.campaign, one.coupon, one.cost, one.reserve)


def reclaim(
    ledger: Ledger, one: Claim, *, now: datetime, until: datetime, quiet: QuietHours = USUAL
) -> Claimed | Declined:
    """Takes over a call whose end nobody recorded, to make it again under the same key.

    Only for channels on which the same key twice is the same message. Slot, coupon and money are
    held already, and so is a code unless the coupon had none then; consent, suppression, plan
    and quiet hours are looked up again.
    """
    at, end = to_micros(now), to_micros(until)
    key = send_id(one.occasion, one.person)
    with ledger.writing() as connection:
        pass_gate(connection, ledger, at)
        row = look_up(connection, [one], [key])[0]
        reason = barred(row, one)
        if reason is not None:
            return Declined(key, reason)
        awake = quiet.first_calls(now, until - now)(row.timezone)
        if to_micros(awake) > at:
            return Declined(key, "quiet_hours", awake)
        code = code_of(connection, key)
        if one.coded and code is None:
            code = next(iter(some_codes(connection, one.coupon, 1)), None)
            if code is None:
                return Declined(key, "codes_used_up")
            take_codes(connection, [(code, key)])
        taken = connection.execute(
            _TAKE_OVER, {"key": key, "plan_id": one.plan_id, "contact": one.contact, "until": end}
        ).first()
        if taken is None:
            connection.rollback()
            return Declined(key, "already_settled")
    return Claimed(key, taken[0], until, code)


_TAKE_OVER = text("""
UPDATE send SET state = 'attempting', calls = calls + 1, until = :until
WHERE send_id = :key AND plan_id = :plan_id AND contact = :contact
  AND state IN ('attempting', 'unknown') AND until <= :until
  AND NOT EXISTS (SELECT 1 FROM send n WHERE n.person = send.person AND n.pseq = send.pseq + 1)
  AND NOT EXISTS (SELECT 1 FROM send n WHERE n.contact = send.contact AND n.cseq = send.cseq + 1)
RETURNING try
""")
