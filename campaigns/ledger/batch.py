"""The claims of one transaction: worked out one after another, written together."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, insert

from campaigns.instants import from_micros, to_micros
from campaigns.ledger import tables
from campaigns.ledger.calls import Claim, Claimed, Declined, FirstCall
from campaigns.ledger.chains import Link, last_link, link
from campaigns.ledger.codes import some_codes, take_codes
from campaigns.ledger.identity import send_id
from campaigns.ledger.outcomes import record_outcomes
from campaigns.ledger.purses import Open, purses
from campaigns.ledger.standing import barred, look_up
from campaigns.ledger.tokens import free_place, held_tokens, take_tokens
from campaigns.policy.cap import Cap


@dataclass(slots=True)
class _Taken:
    """One claim that goes through."""

    claim: Claim
    key: str
    attempt: int
    zone: str | None
    links: dict[str, Link]
    code: str | None = None


class Batch:
    """See `claims.claim`; the gate is held from before it is made until it is written."""

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
