"""What `send` asks of a way out."""

from datetime import datetime
from enum import StrEnum
from typing import Protocol

from campaigns.message import Message


class Delivery(StrEnum):
    """How a call ended, as far as the caller can tell."""

    ACCEPTED = "accepted"
    UNKNOWN = "unknown"


class Channel(Protocol):
    """A place that messages are handed to.

    `deliver` raises OSError only if the message was surely not delivered; anything in doubt is
    UNKNOWN.
    """

    @property
    def idempotent(self) -> bool:
        """Whether the same send id twice is one message: an unknown call may be made again."""

    def deliver(self, message: Message, /, *, now: datetime) -> Delivery:
        """Hands one message over."""
