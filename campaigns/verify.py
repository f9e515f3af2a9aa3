"""Recomputes from the ledger's rows alone that every promise was kept.

It reads no constraint and trusts none: a ledger whose constraints were dropped and whose rows
were forged is found out.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select, text

from campaigns.breach import Breach
from campaigns.instants import SECOND, WEEK, from_micros, words
from campaigns.ledger.ledger import Ledger
from campaigns.ledger.purses import purses, redemption_purses
from campaigns.ledger.pushes import UNASKED
from campaigns.ledger.tables import (
    LEAST_GAP,
    assignment,
    consent,
    outcome,
    plan,
    purse,
    redemption,
    send,
    suppression,
)
from campaigns.policy.weeks import weeks_apart
from campaigns.verify_redemptions import codes_and_redemptions

Rows = list[Row[Any]]

_CLOCKS = 2 * SECOND
"""by which the gate lets machines differ: what was first of two things nearer, nobody can tell"""


@dataclass(frozen=True, slots=True)
class Report:
    """What was looked at, and every breach of it."""

    pushes: int
    people: int
    contacts: int
    held_out: int
    plans: int
    breaches: tuple[Breach, ...]


def verify(ledger: Ledger) -> Report:
    """Checks every push in the ledger, in one read transaction."""
    with ledger.reading() as connection:
        rows = list(connection.execute(select(send).order_by(send.c.at, send.c.send_id)))
        slots = [row for row in rows if row.state != "refused"]
        pushes = [row for row in slots if not row.ghost and row.state != "carry"]
        planned = [row for row in slots if row.plan_id]  # the others take a slot and no more
        breaches = [
            *_gaps(slots, "person"),
            *_gaps(slots, "contact"),
            *_live_tries(slots),
            *_consent(
                connection, [row for row in pushes if row.plan_id or row.occasion != UNASKED]
            ),
            *_suppressed(connection, pushes),
            *_held_out(connection, pushes),
            *_money(connection, [row for row in pushes if row.plan_id]),
            *_outcomes(connection, planned),
            *codes_and_redemptions(connection, pushes),
        ]
        plans = connection.execute(text("SELECT COUNT(*) FROM plan")).scalar_one()
    return Report(
        pushes=len(pushes),
        people=len({row.person for row in pushes}),
        contacts=len({row.contact for row in pushes}),
        held_out=sum(row.ghost for row in slots),
        plans=plans,
        breaches=tuple(breaches),
    )


def _gaps(slots: Rows, unit: str) -> Iterator[Breach]:
    """Carried rows are other senders' and count as predecessors only, in the chains they joined."""
    last: dict[str, Row[Any]] = {}
    place = f"{unit[0]}seq"
    for row in sorted(slots, key=lambda row: (row.at, getattr(row, place) or 0)):
        if row.state == "carry" and getattr(row, place) is None:
            continue
        key = getattr(row, unit)
        before = last.get(key)
        if before is not None and row.state != "carry" and not _apart(before, row):
            yield Breach(
                f"one push a week for each {unit}",
                f"{unit} {key}: send {row.send_id} began {words(row.at)}, too soon after "
                f"{words(before.until)}, when send {before.send_id} ended",
            )
        if before is None or row.until > before.until:
            last[key] = row


def _apart(last: Row[Any], row: Row[Any]) -> bool:
    """Seven days; or, where the push says that it goes by calendar weeks, two of them."""
    if row.at - last.until >= WEEK:
        return True
    if row.gap >= WEEK or row.at - last.until < LEAST_GAP or not last.week:
        return False
    if None in (row.zone, last.zone):
        return bool(row.week > last.week)
    times = from_micros(last.at), last.zone, from_micros(row.at), row.zone
    return weeks_apart(*times, default_zone="UTC")


def _live_tries(slots: Rows) -> Iterator[Breach]:
    for key, tries in Counter(row.send_id for row in slots).items():
        if tries > 1:
            yield Breach("one live try for each send", f"send {key} has {tries} live tries")


def _consent(connection: Connection, pushes: Rows) -> Iterator[Breach]:
    """By what the ledger knew at the time: a withdrawal recorded later is no breach."""
    said: dict[tuple[str, str], Rows] = defaultdict(list)
    for row in connection.execute(select(consent).order_by(consent.c.seq)):
        said[row.person, row.channel].append(row)
    for one in pushes:
        history = said[one.person, one.channel]
        known = [row for row in history if row.recorded_at < one.at - _CLOCKS]
        near = [row for row in history if abs(row.recorded_at - one.at) <= _CLOCKS]
        if not any(_granted(known + near[:first]) for first in range(len(near) + 1)):
            yield Breach("consent", f"send {one.send_id} at {words(one.at)} had no consent")


def _granted(known: Rows) -> bool:
    last = max(known, key=lambda row: (row.at, -row.granted, row.seq), default=None)
    return last is not None and bool(last.granted)


def _suppressed(connection: Connection, pushes: Rows) -> Iterator[Breach]:
    since = {row.key: row.recorded_at for row in connection.execute(select(suppression))}
    for one in pushes:
        for key in (one.person, one.contact):
            if key in since and since[key] < one.at - _CLOCKS:
                yield Breach(
                    "suppression",
                    f"send {one.send_id} at {words(one.at)}, suppressed at {words(since[key])}",
                )


def _held_out(connection: Connection, pushes: Rows) -> Iterator[Breach]:
    starts: dict[str, list[int]] = defaultdict(list)
    for row in connection.execute(
        text("SELECT campaign, started_at FROM holdout_epoch ORDER BY campaign, epoch")
    ):
        starts[row.campaign].append(row.started_at)
    held: dict[tuple[str, int, str], int] = {}
    for row in connection.execute(select(assignment).where(assignment.c.arm == "holdout")):
        for key in (row.person, row.contact):
            place = (row.campaign, row.epoch, key)
            held[place] = min(row.assigned_at, held.get(place, row.assigned_at))
    for one in pushes:
        epoch = bisect_right(starts[one.campaign], one.at)
        for key in {one.person, one.contact}:
            at = held.get((one.campaign, epoch, key))
            if at is not None and at <= one.at:
                yield Breach("holdout", f"send {one.send_id} at {words(one.at)} was held out")


def _money(connection: Connection, pushes: Rows) -> Iterator[Breach]:
    taken: Counter[str] = Counter()
    for one in pushes:
        if one.released:
            continue
        for _, name, n in purses(one.campaign, one.coupon, one.cost, one.reserved):
            taken[name] += n
    for use in connection.execute(select(redemption).where(redemption.c.reversed_at.is_(None))):
        for _, name, n in redemption_purses(use.campaign, use.coupon, use.discount):
            taken[name] += n
    for row in connection.execute(select(purse)):
        spent = taken.pop(row.purse, 0)
        if spent != row.used:
            yield Breach("money", f"purse {row.purse} says {row.used}, its sends took {spent}")
        if max(spent, row.used) > row.cap:
            yield Breach("money", f"purse {row.purse}: {spent} taken of {row.cap}")
    for name, spent in taken.items():
        if spent:
            yield Breach("money", f"purse {name} does not exist, its sends took {spent}")


def _outcomes(connection: Connection, slots: Rows) -> Iterator[Breach]:
    recorded = {(row.plan_id, row.send_id): row for row in connection.execute(select(outcome))}
    live = {(row.plan_id, row.send_id): row for row in slots}
    for place, row in live.items():
        expected = "held_out" if row.ghost else row.state
        told = recorded.get(place)
        if expected not in ("attempting", "carry") and (told is None or told.outcome != expected):
            got = "none" if told is None else told.outcome
            yield Breach("outcomes", f"send {row.send_id} is {expected}, its outcome says {got}")
    for place, told in recorded.items():
        if told.outcome in ("accepted", "unknown", "held_out") and place not in live:
            yield Breach("outcomes", f"send {told.send_id}: {told.outcome} without a send")
    yield from _finished(connection, recorded)


def _finished(
    connection: Connection, recorded: Iterable[tuple[str, str]]
) -> Iterator[Breach]:  # fmt: skip
    counts = Counter(plan_id for plan_id, _ in recorded)
    for row in connection.execute(select(plan).where(plan.c.state == "done")):
        if counts[row.plan_id] != row.planned_rows:
            yield Breach(
                "outcomes",
                f"plan {row.plan_id} is done with {counts[row.plan_id]} outcomes for "
                f"{row.planned_rows} rows",
            )
