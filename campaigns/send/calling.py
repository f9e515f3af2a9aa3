"""Makes claimed calls, over as many lanes as the channel has."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from threading import Event

from campaigns.channels.contract import Answer, Channel, Delivery
from campaigns.ledger.calls import Claimed
from campaigns.message import Message

Call = tuple[Claimed, Message]


@dataclass(slots=True)
class Ended:
    """How calls ended. A call without an answer was not made."""

    answers: dict[str, Answer] = field(default_factory=dict)
    """by send id"""
    broke: BaseException | None = None
    """what keeps the sender from going on"""


class Lanes:
    """Close it, or use it in a with-statement."""

    def __init__(self, channel: Channel, now: Callable[[], datetime]) -> None:
        self._channel, self._now = channel, now
        self._longest = timedelta(seconds=channel.seconds)
        self._pool = ThreadPoolExecutor(channel.lanes) if channel.lanes > 1 else None

    def call(self, calls: Sequence[Call]) -> Ended:
        """All of them, until one of them breaks or asks to wait."""
        ended, stop = Ended(), Event()
        if self._pool is None:
            for one in calls:
                self._call(one, ended, stop)
            return ended
        flying: list[Future[None]] = []
        try:
            flying += [self._pool.submit(self._call, one, ended, stop) for one in calls]
            wait(flying)
        except BaseException as error:  # noqa: BLE001 -- told after what flies has been settled
            stop.set()
            ended.broke = error
            wait(flying)
        return ended

    def _call(self, one: Call, ended: Ended, stop: Event) -> None:
        claimed, message = one
        # Killed in a call, nobody tells when it ended: so it has to end while its slot lasts.
        if stop.is_set() or self._now() + self._longest > claimed.until:
            return
        try:
            answer = self._channel.deliver(message, now=self._now())
        except OSError as error:
            stop.set()
            ended.broke = error
        except BaseException as error:  # noqa: BLE001 -- likewise
            stop.set()
            ended.answers[claimed.send_id] = Answer(Delivery.UNKNOWN)
            ended.broke = error
        else:
            ended.answers[claimed.send_id] = answer
            if answer.wait is not None:
                stop.set()

    def __enter__(self) -> "Lanes":
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown()
