"""What holds for a subject beside its latest events, and is brought along with them: a mark.

A visitor's mark says as whom it was identified, and when. A member's names the visitors that it
was identified as, and the member's erasure. Hardly any subject has one.
"""

from collections.abc import Iterable, Sequence

import msgspec

from serving.feed.contract import Event, RecentEvent

REACH = 16
"""Of a member the latest so many visitors count, of a visitor its latest identifications."""
NOBODY = ""
"""in place of a member that was erased, or whose identification is out of reach"""


class Identified(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """As whom a visitor was identified."""

    member_id: str
    at: int
    """microseconds since 1970 UTC"""
    seq: int
    """its number in the visitor's shard"""


class MemberMark(msgspec.Struct, frozen=True, array_like=True):
    """A member's visitors, the latest last, and the number of its erasure in its shard, or 0."""

    erased: int = 0
    visitors: tuple[str, ...] = ()


VisitorMark = tuple[Identified, ...]
"""the latest last"""

encode = msgspec.msgpack.Encoder().encode
decode_member = msgspec.msgpack.Decoder(MemberMark).decode
decode_visitor = msgspec.msgpack.Decoder(VisitorMark).decode


def identification(visitor_id: str, member_id: str, *, event_id: str, at: int) -> Event:
    """The log's entry that a visitor turned out to be a member."""
    return Event(event_id, "identify", at, member_id=member_id, visitor_id=visitor_id)


def erasure(member_id: str, *, event_id: str, until: int) -> Event:
    """The log's entry that a member is erased, with all that happened until an instant."""
    return Event(event_id, "erase", until, member_id=member_id)


def with_visitor(mark: MemberMark, visitor_id: str) -> tuple[MemberMark, str | None]:
    """The member's mark with one more visitor, and the visitor that is out of reach now.

    The script CLAIM does the same in Redis, IDENTIFY and DISOWN what the next two do.
    """
    visitors = (*(one for one in mark.visitors if one != visitor_id), visitor_id)
    gone = visitors[0] if len(visitors) > REACH else None
    return MemberMark(mark.erased, visitors[-REACH:]), gone


def identified(mark: VisitorMark, latest: Identified) -> VisitorMark:
    """The visitor's mark with one more identification. What is out of reach is nobody's."""
    if len(mark) < REACH:
        return (*mark, latest)
    return (msgspec.structs.replace(mark[1], member_id=NOBODY), *mark[2:], latest)


def disowned(mark: VisitorMark, member_id: str) -> VisitorMark:
    """The visitor's mark without a member. What was the member's must not become another's."""
    return tuple(
        msgspec.structs.replace(one, member_id=NOBODY) if one.member_id == member_id else one
        for one in mark
    )


def of_member(
    member_id: str, mark: VisitorMark, events: Iterable[tuple[int, RecentEvent]], *, after: int
) -> list[RecentEvent]:
    """The visitor's events that are the member's, and that no model up to `after` counts as such.

    Whose they are, `recsys.identities` says: the member's who was identified last, or first
    afterwards. A model that has the event but not the identification counts it as nobody's.
    """
    history = sorted(mark, key=lambda one: one.at)
    found = []
    for seq, event in events:
        owner = history[0]
        for one in history:
            if one.at <= event.occurred_at:
                owner = one
        if owner.member_id == member_id and max(seq, owner.seq) > after:
            found.append(event)
    return found


def merged(
    own: Sequence[RecentEvent], visitors: Iterable[Sequence[RecentEvent]], limit: int
) -> list[RecentEvent]:
    """A member's own events and those of its visitors, by occurred_at."""
    together = [*own, *(event for events in visitors for event in events)]
    return sorted(together, key=lambda event: event.occurred_at)[-limit:]
