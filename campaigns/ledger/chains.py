"""The chain of pushes of one person, and of one contact point: each link names the one before."""

from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import Row

from campaigns.instants import WEEK, from_micros, to_micros
from campaigns.ledger.tables import LEAST_GAP
from campaigns.policy.cap import Cap
from campaigns.policy.weeks import first_free, week_of


@dataclass(frozen=True, slots=True)
class Link:
    """A push in a chain; instants in microseconds."""

    seq: int
    at: int
    until: int
    zone: str | None
    week: int | None
    """that the member's wall showed; None for a push of an older ledger or another sender"""
    gap: int = WEEK
    """that it keeps to the one before"""
    before: "Link | None" = None
    here: int | None = None
    """the week of the one before in this one's zone"""
    there: int | None = None
    """the week of this one in the zone of the one before"""

    def ending(self, until: int) -> "Link":
        """As the one before the next."""
        return replace(self, until=until, before=None)

    def columns(self, prefix: str) -> dict[str, int | None]:
        """What a row of the table `send` says of this link. prefix: p or c."""
        last = self.before
        by_weeks = self.gap < WEEK
        return {
            f"{prefix}seq": self.seq,
            f"{prefix}prev_until": last.until if last else None,
            f"{prefix}prev_week": last.week if last and by_weeks else None,
            f"{prefix}prev_week_here": self.here if by_weeks else None,
            f"{prefix}week_there": self.there if by_weeks else None,
        }


def last_link(row: Row[Any], prefix: str) -> Link | None:
    """The end of a chain, in a row of `standing.look_up`."""
    seq, at, until, zone, week = (
        getattr(row, name)
        for name in (f"{prefix}seq", *(f"{prefix}_{n}" for n in ("at", "until", "zone", "week")))
    )
    return None if seq is None else Link(seq, at, until, zone, week)


def link(last: Link | None, *, cap: Cap, at: int, zone: str | None) -> tuple[Link, int]:
    """The link that a push from `at` on would be, and the instant from which on it may be made."""
    week = week_of(from_micros(at), zone, default_zone=cap.zone)
    if last is None:
        return Link(1, at, at, zone, week, cap.gap), 0
    made = Link(last.seq + 1, at, at, zone, week, cap.gap, last)
    rolling = last.until + cap.gap
    if not cap.weeks or last.week is None or at >= rolling:
        return made, rolling
    start, before = from_micros(last.at), last.zone
    free = max(
        last.until + LEAST_GAP,
        to_micros(first_free(start, before, zone, default_zone=cap.zone)),
    )
    here = week_of(start, zone, default_zone=cap.zone)
    there = week_of(from_micros(at), before, default_zone=cap.zone)
    return replace(made, gap=LEAST_GAP, here=here, there=there), min(rolling, free)
