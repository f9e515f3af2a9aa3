"""What `send` asks of a way out."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from campaigns.message import Message


class Delivery(StrEnum):
    """How a call ended, as far as the caller can tell."""

    ACCEPTED = "accepted"
    UNKNOWN = "unknown"
    """it may have been delivered: the slot stays taken"""
    REFUSED = "refused"
    """surely not delivered, and may be tried again"""
    REJECTED = "rejected"
    """surely not delivered, and this contact point never will be"""


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended, and why."""

    state: Delivery
    reason: str = ""
    """for an outcome and for reports; never an address"""
    wait: timedelta | None = None
    """of a refusal: no call of this channel is welcome for so long"""


ACCEPTED = Answer(Delivery.ACCEPTED)


class Channel(Protocol):
    """A place that messages are handed to.

    `deliver` answers REFUSED or REJECTED only if the message was surely not delivered; anything in
    doubt is UNKNOWN. It raises OSError only where nothing can be handed over any more, such as on a
    full disk, and this message surely was not.
    """

    @property
    def idempotent(self) -> bool:
        """Whether the same send id twice is one message: an unknown call may be made again."""

    @property
    def lanes(self) -> int:
        """Calls that it can take at once; more than one come from threads."""

    @property
    def seconds(self) -> float:
        """The longest that a call lasts: none begins later than this before its slot ends."""

    def deliver(self, message: Message, /, *, now: datetime) -> Answer:
        """Hands one message over."""

    def close(self) -> None:
        """Gives back every connection."""
