"""The chain of pushes of one person, and of one contact point: each link names the one before."""

from typing import Any, NamedTuple

from sqlalchemy import Row

from campaigns.instants import WEEK, from_micros, to_micros
from campaigns.ledger.tables import LEAST_GAP
from campaigns.policy.cap import Cap
from campaigns.policy.weeks import first_free, week_of


class Link(NamedTuple):
    """A push in a chain; instants in microseconds."""

    seq: int
    at: int
    until: int
    zone: str | None
    week: int
    """that the member's wall showed; 0 for a push of an older ledger or of another sender"""
    gap: int = WEEK
    """that it keeps to the one before"""
    before: "Link | None" = None
    here: int | None = None
    """the week of the one before in this one's zone"""
    there: int | None = None
    """the week of this one in the zone of the one before"""

    def ending(self, until: int) -> "Link":
        """As the one before the next."""
        return Link(self.seq, self.at, until, self.zone, self.week)

    def cells(self) -> tuple[int | None, ...]:
        """Its `LINK_COLUMNS` in a row of the table `send`."""
        last, by_weeks = self.before, self.gap < WEEK
        return (
            self.seq,
            last.until if last else None,
            last.week if last else None,
            self.here if by_weeks else None,
            self.there if by_weeks else None,
        )


LINK_COLUMNS = ("{}seq", "{}prev_until", "{}prev_week", "{}prev_week_here", "{}week_there")
"""of a chain, whose letter is p or c"""

FOLLOWED = (
    "(EXISTS (SELECT 1 FROM send n WHERE n.person = send.person AND n.pseq = send.pseq + 1)"
    " OR EXISTS (SELECT 1 FROM send n WHERE n.contact = send.contact AND n.cseq = send.cseq + 1))"
)
"""SQL: a later push counts from the end of this one, which holds it fast"""


def last_link(row: Row[Any], prefix: str) -> Link | None:
    """The end of a chain, in a row of `standing.look_up`."""
    if prefix == "p":
        return None if row.pseq is None else Link(
            row.pseq, row.p_at, row.p_until, row.p_zone, row.p_week
        )  # fmt: skip
    return None if row.cseq is None else Link(
        row.cseq, row.c_at, row.c_until, row.c_zone, row.c_week
    )  # fmt: skip


def link(last: Link | None, *, cap: Cap, at: int, zone: str | None, week: int) -> tuple[Link, int]:
    """The link that a push from `at` on would be, and the instant from which on it may be made.

    week: that the zone's walls show at `at`.
    """
    if last is None:
        return Link(1, at, at, zone, week, cap.gap), 0
    made = Link(last.seq + 1, at, at, zone, week, cap.gap, last)
    rolling = last.until + cap.gap
    if not cap.weeks or not last.week or at >= rolling:
        return made, rolling
    start, before = from_micros(last.at), last.zone
    free = max(
        last.until + LEAST_GAP,
        to_micros(first_free(start, before, zone, default_zone=cap.zone)),
    )
    here = week_of(start, zone, default_zone=cap.zone)
    there = week_of(from_micros(at), before, default_zone=cap.zone)
    return made._replace(gap=LEAST_GAP, here=here, there=there), min(rolling, free)
