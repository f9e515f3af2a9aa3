"""Twilio's status callbacks: HMAC-SHA1 over the address and the sorted parameters.

The scheme signs no time: that an event counts once is what a replay meets. Our send id comes in the
address that the message asked to be called back at (`?send_id=…`), which is signed, too.
"""

import base64
import hashlib
import hmac
from collections.abc import Iterator
from datetime import datetime
from urllib.parse import parse_qs

from campaigns.ledger.feedback import Feedback, Kind
from campaigns.ways_in.feedback.provider import Provider
from campaigns.ways_in.feedback.received import Received, event_id, forged, malformed, send_id

# twilio.com/docs/api/errors
_STOPPED = frozenset({"21610"})
_NO_SUCH_NUMBER = frozenset({"21211", "21614", "30005", "30006"})


def events(received: Received, provider: Provider, *, now: datetime) -> Iterator[Feedback]:
    """The one event of a request; none for a step on the way."""
    given = received.header("x-twilio-signature")
    said = _form(received.body.decode("latin-1"))
    url = provider.url + (f"?{received.query}" if received.query else "")
    signed = url + "".join(
        name + value for name in sorted(said) for value in sorted(set(said[name]))
    )
    known = [
        base64.b64encode(hmac.digest(secret.encode(), signed.encode(), hashlib.sha1))
        for secret in provider.secrets
    ]
    if not any(hmac.compare_digest(given.encode(), one) for one in known):
        raise forged()
    facts = {name: values[-1] for name, values in said.items()}
    status, code = facts.get("MessageStatus", ""), facts.get("ErrorCode", "")
    kind = _kind(status, code)
    if kind is not None:
        asked = _form(received.query)
        name = event_id(f"{facts.get('MessageSid', '')}/{status}")
        yield Feedback(name, send_id(*asked.get("send_id", [])), kind, now)


def _kind(status: str, code: str) -> Kind | None:
    if status == "delivered":
        return "delivered"
    if status not in ("failed", "undelivered"):
        return None
    if code in _STOPPED:
        return "unsubscribed"
    return "unregistered" if code in _NO_SUCH_NUMBER else "failed"


def _form(text: str) -> dict[str, list[str]]:
    try:
        return parse_qs(text, keep_blank_values=True, max_num_fields=200)
    except ValueError:
        raise malformed("the form has too many fields") from None
