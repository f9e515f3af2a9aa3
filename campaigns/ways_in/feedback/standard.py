"""Standard Webhooks (standardwebhooks.com): HMAC-SHA256 over id, time and body.

The body says `{"type": "message.bounced", "timestamp": "…", "data": {"send_id": "…"}}`.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterator
from datetime import datetime
from typing import get_args

from campaigns.ledger.feedback import Feedback, Kind
from campaigns.ways_in.feedback.provider import Provider
from campaigns.ways_in.feedback.received import (
    Received,
    event_id,
    forged,
    fresh,
    instant,
    malformed,
    seconds,
    send_id,
    told,
)
from recsys.errors import SettingsError

_KINDS: dict[str, Kind] = {kind: kind for kind in get_args(Kind)}


def events(received: Received, provider: Provider, *, now: datetime) -> Iterator[Feedback]:
    """The one event of a request."""
    name = event_id(received.header("webhook-id"))
    signed_at = received.header("webhook-timestamp")
    signed = f"{name}.{signed_at}.".encode() + received.body
    given = received.header("webhook-signature").split()
    known = [
        f"v1,{base64.b64encode(hmac.digest(key(secret), signed, hashlib.sha256)).decode()}"
        for secret in provider.secrets
    ]
    if not any(_same(one, other) for one in given for other in known):
        raise forged()
    fresh(seconds(signed_at), now)
    said = told(received.body)
    data = said.get("data") if isinstance(said, dict) else None
    if not isinstance(data, dict):
        raise malformed("type and data are needed")
    kind = _KINDS.get(str(said.get("type")).rpartition(".")[2])
    if kind is not None:
        at = instant(said["timestamp"]) if "timestamp" in said else seconds(signed_at)
        yield Feedback(name, send_id(data.get("send_id")), kind, at)


def key(secret: str) -> bytes:
    """The bytes of a secret as it is shown: base64 after `whsec_`."""
    try:
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise SettingsError(
            "A secret of scheme standard is not base64; copy it whole, with whsec_"
        ) from None


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(), other.encode())
