"""SendGrid's signed event webhook: ECDSA over the time and the body; many events a request.

Our send id comes as the custom argument `send_id`, or as the Message-ID (`smtp-id`).
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from campaigns.ledger.feedback import Feedback, Kind
from campaigns.ways_in.feedback.provider import Provider
from campaigns.ways_in.feedback.public_keys import check_ecdsa
from campaigns.ways_in.feedback.received import (
    Received,
    event_id,
    fresh,
    malformed,
    seconds,
    send_id,
    told,
)

_PREFIX = "x-twilio-email-event-webhook-"
_KINDS: dict[str, Kind] = {
    "delivered": "delivered",
    "dropped": "failed",
    "spamreport": "complained",
    "unsubscribe": "unsubscribed",
    "group_unsubscribe": "unsubscribed",
}


def events(received: Received, provider: Provider, *, now: datetime) -> Iterator[Feedback]:
    """Every event that is an end; steps on the way, opens and clicks are passed over."""
    signature = received.header(f"{_PREFIX}signature")
    signed_at = received.header(f"{_PREFIX}timestamp")
    check_ecdsa(provider.secrets, signature, signed_at.encode() + received.body)
    fresh(seconds(signed_at), now)
    said = told(received.body)
    if not isinstance(said, list) or not all(isinstance(one, dict) for one in said):
        raise malformed("the body must be a list of events")
    for one in said:
        kind = _kind(one)
        if kind is not None:
            at = seconds(str(one.get("timestamp")))
            sent = send_id(one.get("send_id"), one.get("smtp-id"))
            yield Feedback(event_id(one.get("sg_event_id")), sent, kind, at)


def _kind(one: dict[str, Any]) -> Kind | None:
    if one.get("event") == "bounce":  # of the type `blocked`: this message alone
        return "failed" if one.get("type") == "blocked" else "bounced"
    return _KINDS.get(str(one.get("event")))
