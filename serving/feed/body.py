"""An event as bytes: one MessagePack array, the fields that ranking needs first.

New fields go to the end: an old body is read with None for them.
"""

from operator import attrgetter

import msgspec

from serving.feed.contract import Event, RecentEvent

_FIELDS = (
    *RecentEvent.__struct_fields__,
    "event_id",
    "member_id",
    "visitor_id",
    "placement",
    "request_id",
)
_values = attrgetter(*_FIELDS)
head = attrgetter(*RecentEvent.__struct_fields__)
"""what ranking needs of an event, as `decode_recent` and a MessagePack array of it have it"""
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(list)


def encode(event: Event) -> bytes:
    """The counterpart of `decode`."""
    return _encoder.encode(_values(event))


def decode(body: bytes) -> Event:
    """The whole event."""
    return Event(**dict(zip(_FIELDS, _decoder.decode(body), strict=False)))


decode_recent = msgspec.msgpack.Decoder(RecentEvent).decode
"""The event's head; an array-like struct leaves the rest unread."""
