"""The claims of one transaction: worked out one after another, written together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row

from campaigns.instants import from_micros, to_micros
from campaigns.ledger.asked import NUMBER, TEXT, insert_rows
from campaigns.ledger.calls import Claim, Claimed, Declined, FirstCall
from campaigns.ledger.chains import LINK_COLUMNS, Link, last_link, link
from campaigns.ledger.codes import some_codes, take_codes
from campaigns.ledger.outcomes import record_outcomes
from campaigns.ledger.purses import Open, Part, purses
from campaigns.ledger.standing import barred, look_up
from campaigns.ledger.tokens import free_place, held_tokens, take_tokens
from campaigns.policy.cap import Cap
from campaigns.policy.weeks import week_of


@dataclass(slots=True)
class _Taken:
    """One claim that goes through."""

    claim: Claim
    key: str
    attempt: int
    zone: str | None
    person: Link
    contact: Link
    code: str | None = None


class Batch:
    """See `claims.claim`; the gate is held from before it is made until it is written."""

    def __init__(
        self,
        connection: Connection,
        claims: Sequence[Claim],
        keys: Sequence[str],
        cap: Cap,
        *,
        span: tuple[int, int],
    ) -> None:
        """keys: the claims' send ids. span: of the calls, in microseconds."""
        self.connection, self.claims, self.keys, self.cap = connection, claims, keys, cap
        self.at, self.until = span
        self.ends = from_micros(self.until)
        self.taken: dict[str, _Taken] = {}
        self.last: dict[tuple[str, str], Link] = {}
        """the link that this transaction adds to each chain"""
        self.parts = [_parts(one) for one in claims]
        self.purses = Open.of(connection, {name for some in self.parts for _, name, _ in some})
        self.weeks: dict[str | None, int] = {}
        """that the walls of zones show now"""
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
            self._answer(one, key, row, first_call, parts)
            for one, key, row, parts in zip(self.claims, self.keys, found, self.parts, strict=True)
        ]

    def _answer(
        self, one: Claim, key: str, row: Row[Any], first_call: FirstCall, parts: list[Part]
    ) -> Claimed | Declined:
        forbidden = self._forbidden(one, key, row, first_call)
        if forbidden is not None:
            return forbidden
        person, person_free_at = self._link(one.person, "p", row)
        contact, contact_free_at = self._link(one.contact, "c", row)
        places, token_free_at = self._places(one)
        free_at = max(person_free_at, contact_free_at, token_free_at)
        if free_at > self.at:
            return Declined(key, "capped", from_micros(free_at))
        taken = _Taken(one, key, (row.tries or 0) + 1, row.timezone, person, contact)
        broke = self._pay(taken, parts)
        if broke is not None:
            return Declined(key, broke)
        self._take(taken, places)
        return Claimed(key, taken.attempt, self.ends, taken.code)

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

    def _link(self, unit: str, letter: str, row: Row[Any]) -> tuple[Link, int]:
        """The link of a chain that this push would be, and when it may be made."""
        last = self.last.get((letter, unit)) or last_link(row, letter)
        zone = row.timezone
        if zone not in self.weeks:
            self.weeks[zone] = week_of(from_micros(self.at), zone, default_zone=self.cap.zone)
        return link(last, cap=self.cap, at=self.at, zone=zone, week=self.weeks[zone])

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

    def _pay(self, taken: _Taken, parts: list[Part]) -> str | None:
        one = taken.claim
        if one.ghost:
            return None
        codes = self.codes.get(one.coupon) if one.coded else None
        if codes is not None and not codes:
            return "codes_used_up"
        broke = self.purses.take(parts)
        if broke is None and codes:
            taken.code = codes.pop()
        return broke

    def _take(self, taken: _Taken, places: Sequence[tuple[str, int]]) -> None:
        one = taken.claim
        until = self.at if one.ghost else self.until
        self.taken[taken.key] = taken
        self.last["p", one.person] = taken.person.ending(until)
        self.last["c", one.contact] = taken.contact.ending(until)
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
        cells = [self._cells(one) for one in self.taken.values()]
        insert_rows(connection, "send", _SEND, cells)
        ghosts = [(one.claim.plan_id, one.key) for one in self.taken.values() if one.claim.ghost]
        record_outcomes(connection, ghosts, outcome="held_out", reason="holdout", at=self.at)

    def _cells(self, taken: _Taken) -> tuple[object, ...]:
        """A row of `_SEND`."""
        one, ghost = taken.claim, taken.claim.ghost
        return (
            taken.key, one.plan_id, one.occasion, one.campaign, one.coupon, one.channel,
            one.person, one.contact, "accepted" if ghost else "attempting", taken.zone,
            taken.attempt, int(ghost), 0 if ghost else one.cost, 0 if ghost else one.reserve,
            self.at, self.at if ghost else self.until,
            min(taken.person.gap, taken.contact.gap), taken.person.week,
            *taken.person.cells(), *taken.contact.cells(),
        )  # fmt: skip


def _parts(one: Claim) -> list[Part]:
    return [] if one.ghost else purses(one.campaign, one.coupon, one.cost, one.reserve)


_SEND = dict.fromkeys(
    ("send_id", "plan_id", "occasion", "campaign", "coupon", "channel", "person", "contact",
     "state", "zone"),
    TEXT,
) | dict.fromkeys(
    ("try", "ghost", "cost", "reserved", "at", "until", "gap", "week",
     *(name.format(letter) for letter in "pc" for name in LINK_COLUMNS)),
    NUMBER,
)  # fmt: skip
