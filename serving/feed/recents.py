"""The latest events of the subjects asked for lately, kept in memory and never stale.

Before each answer the cache takes up what was appended since, by any process: one look at the
end of the log, which costs less than gathering a subject's rows from all over it.
"""

from collections import OrderedDict, deque
from collections.abc import Callable

from serving.feed.contract import RecentEvent

Row = tuple[int, str | None, bytes | None]
"""sequence number, subject, body"""

SUBJECTS = 20_000
EVENTS = 64
"""of one subject; both together bound the memory to some 100 MB, and a tenth of it in practice"""


class Recents:
    """Not thread-safe: it belongs to the event loop.

    appended_since(seq) gives the rows with larger numbers, in order.
    of_subject(subject, most) gives the subject's latest rows, newest first.
    """

    def __init__(
        self,
        appended_since: Callable[[int], list[Row]],
        of_subject: Callable[[str, int], list[tuple[int, bytes]]],
        *,
        seen: int,
        decode: Callable[[bytes], RecentEvent],
    ) -> None:
        self._appended_since = appended_since
        self._of_subject = of_subject
        self._seen = seen
        self._decode = decode
        self._kept: OrderedDict[str, deque[tuple[int, RecentEvent]]] = OrderedDict()

    def latest(self, subject: str, *, after: int, limit: int) -> list[RecentEvent]:
        """The subject's latest events numbered above `after`, newest last; limit <= EVENTS."""
        self._catch_up()
        kept = self._kept.get(subject)
        if kept is None:
            kept = self._load(subject)
        else:
            self._kept.move_to_end(subject)
        if not kept or limit <= 0:
            return []
        return [event for seq, event in kept if seq > after][-limit:]

    def drop(self) -> None:
        """Forget all, after a trim. One by another process needs no word: what is trimmed is in
        every model that is kept, so `after` leaves it out."""
        self._kept.clear()

    def _catch_up(self) -> None:
        for seq, subject, packed in self._appended_since(self._seen):
            self._seen = seq
            kept = None if subject is None else self._kept.get(subject)
            # a subject loaded a moment ago may have the event already
            if kept is not None and packed is not None and (not kept or kept[-1][0] < seq):
                kept.append((seq, self._decode(packed)))

    def _load(self, subject: str) -> deque[tuple[int, RecentEvent]]:
        rows = reversed(self._of_subject(subject, EVENTS))
        loaded = deque(((seq, self._decode(packed)) for seq, packed in rows), maxlen=EVENTS)
        self._kept[subject] = loaded
        if len(self._kept) > SUBJECTS:
            self._kept.popitem(last=False)
        return loaded
