"""The latest events of the subjects asked for lately, kept in memory and never stale.

Before each answer the cache takes up what was appended since, by any process: one look at the
end of the log, which costs less than gathering a subject's rows from all over it.
"""

from collections import OrderedDict, deque
from collections.abc import Callable

from serving.feed import body, sqlite_marks
from serving.feed.contract import ERASE, Recent, RecentEvent

Row = tuple[int, str | None, bytes | None]
"""sequence number, subject, body"""

SUBJECTS = 20_000
EVENTS = 64
"""of one subject; both together bound the memory to some 100 MB, and a tenth of it in practice"""


class Recents:
    """Not thread-safe: it belongs to the event loop.

    appended_since(seq) gives the rows with larger numbers, in order.
    of_subject(subject, most) gives the subject's latest rows, newest first.
    mark_of(subject) gives its mark; it is not asked while no subject has one.
    """

    def __init__(
        self,
        appended_since: Callable[[int], list[Row]],
        of_subject: Callable[[str, int], list[tuple[int, bytes]]],
        mark_of: Callable[[str], bytes | None],
        *,
        is_marked: bool,
        seen: int,
        decode: Callable[[bytes], RecentEvent],
    ) -> None:
        self._appended_since = appended_since
        self._of_subject = of_subject
        self._mark_of = mark_of
        self._is_marked = is_marked
        self._seen = seen
        self._decode = decode
        self._kept: OrderedDict[str, deque[tuple[int, RecentEvent]]] = OrderedDict()
        self._marks: dict[str, bytes] = {}
        """of those kept that have one"""

    def latest(self, subject: str, *, after: int, limit: int) -> Recent:
        """The subject's latest events numbered above `after`, newest last; 1 <= limit <= EVENTS."""
        self._catch_up()
        kept = self._kept.get(subject)
        if kept is None:
            kept = self._load(subject)
        else:
            self._kept.move_to_end(subject)
        own = [event for seq, event in kept if seq > after][-limit:]
        if (mark := self._marks.get(subject)) is None:
            return Recent(own)
        return sqlite_marks.recent(subject, mark, own, self._visitor, after=after, limit=limit)

    def drop(self) -> None:
        """Forget all, after a trim or an erasure. A trim by another process needs no word: what
        is trimmed is in every model that is kept, so `after` leaves it out."""
        self._kept.clear()
        self._marks.clear()

    def _visitor(self, subject: str) -> tuple[bytes | None, deque[tuple[int, RecentEvent]]]:
        kept = self._kept.get(subject)
        if kept is None:
            kept = self._load(subject)
        return self._marks.get(subject), kept

    def _catch_up(self) -> None:
        for seq, subject, packed in self._appended_since(self._seen):
            self._seen = seq
            if subject in sqlite_marks.KINDS and packed is not None:
                self._turn(packed)
                continue
            kept = None if subject is None else self._kept.get(subject)
            # a subject loaded a moment ago may have the event already
            if kept is not None and packed is not None and (not kept or kept[-1][0] < seq):
                kept.append((seq, self._decode(packed)))

    def _turn(self, packed: bytes) -> None:
        """An identification or an erasure: what it changes is loaded anew when it is asked for."""
        self._is_marked = True
        entry = body.decode(packed)
        if entry.kind == ERASE:
            self.drop()
        for subject in (f"m:{entry.member_id}", f"v:{entry.visitor_id}"):
            self._kept.pop(subject, None)
            self._marks.pop(subject, None)

    def _load(self, subject: str) -> deque[tuple[int, RecentEvent]]:
        rows = reversed(self._of_subject(subject, EVENTS))
        loaded = deque(((seq, self._decode(packed)) for seq, packed in rows), maxlen=EVENTS)
        self._kept[subject] = loaded
        if self._is_marked and (mark := self._mark_of(subject)) is not None:
            self._marks[subject] = mark
        if len(self._kept) > SUBJECTS:
            gone, _ = self._kept.popitem(last=False)
            self._marks.pop(gone, None)
        return loaded
