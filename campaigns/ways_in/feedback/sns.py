"""Amazon SES over Amazon SNS: RSA over a canonical text, by a certificate of Amazon's.

A signature says that Amazon speaks, not that our account does: any account has topics. So a topic
has to be one of ours. The certificate is taken from Amazon's own host alone.
"""

import logging
import re
from collections.abc import Iterator
from datetime import datetime, timedelta
from threading import Lock
from typing import Any

from campaigns.ledger.feedback import Feedback, Kind
from campaigns.ways_in.feedback.provider import Provider
from campaigns.ways_in.feedback.public_keys import check_rsa
from campaigns.ways_in.feedback.received import (
    Fetch,
    Received,
    RefusedError,
    event_id,
    forged,
    fresh,
    instant,
    malformed,
    send_id,
    told,
)

log = logging.getLogger(__name__)

TOLERANCE = timedelta(hours=1)
"""the time is that of publishing, and what could not be delivered is sent again for an hour"""
_KEPT = 16
_ARN = re.compile(r"arn:aws[a-z-]*:sns:([a-z0-9-]+):[0-9]{12}:[A-Za-z0-9_.-]{1,256}")
_CERTIFICATE = re.compile(
    r"https://sns\.([a-z0-9-]+)\.amazonaws\.com(\.cn)?/SimpleNotificationService-[0-9a-z]+\.pem"
)
_SIGNED = {
    "Notification": ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"),
    "SubscriptionConfirmation": (
        "Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type",
    ),
}  # fmt: skip
_SIGNED["UnsubscribeConfirmation"] = _SIGNED["SubscriptionConfirmation"]
_KINDS: dict[str, Kind] = {
    "Delivery": "delivered",
    "Complaint": "complained",
    "Reject": "failed",
    "Rendering Failure": "failed",
}


class Certificates:
    """Those that were fetched; they never change under one address."""

    def __init__(self, fetch: Fetch) -> None:
        self._fetch = fetch
        self._known: dict[str, bytes] = {}
        self._busy = Lock()

    def at(self, url: str) -> bytes:
        """503 while another is fetched: whoever makes addresses up must not take all threads."""
        if url in self._known:
            return self._known[url]
        if not self._busy.acquire(blocking=False):
            raise RefusedError(503, "another certificate is being fetched; send it again")
        try:
            found = self._fetch(url)
        except OSError:
            raise RefusedError(503, "the certificate cannot be fetched; send it again") from None
        finally:
            self._busy.release()
        while len(self._known) >= _KEPT:
            self._known.pop(next(iter(self._known)))
        self._known[url] = found
        return found


def events(
    received: Received, provider: Provider, *, now: datetime, certificates: Certificates
) -> Iterator[Feedback]:
    """The one event of a notification. A topic to be confirmed is told of, and not followed."""
    said = told(received.body)
    if not isinstance(said, dict):
        raise malformed("the body must be an object")
    _check(said, provider, now=now, certificates=certificates)
    if said["Type"] != "Notification":
        log.warning(
            "feedback %s: topic %s sends a %s; if you asked for it, open the address it names: %s",
            provider.name, said["TopicArn"], said["Type"], said.get("SubscribeURL"),
        )  # fmt: skip
        return
    event = told(said["Message"])
    if not isinstance(event, dict):
        raise malformed("the message must be an object")
    kind = _kind(event)
    if kind is not None:
        at = instant(said["Timestamp"])
        yield Feedback(event_id(said["MessageId"]), send_id(*_names(event)), kind, at)


def _check(
    said: dict[str, Any], provider: Provider, *, now: datetime, certificates: Certificates
) -> None:
    names = _SIGNED.get(str(said.get("Type")))
    if names is None:
        raise malformed("the type of the message is unknown")
    texts = {name: said[name] for name in names if name in said}
    if not all(isinstance(value, str) for value in texts.values()):
        raise malformed("a field is not text")
    if set(names) - set(texts) - {"Subject"}:
        raise malformed("a field is missing")
    if said["TopicArn"] not in provider.topics:
        raise RefusedError(403, "the topic is none of ours")
    fresh(instant(said["Timestamp"]), now, tolerance=TOLERANCE)
    signed = "".join(f"{name}\n{texts[name]}\n" for name in names if name in texts)
    version, signature = str(said.get("SignatureVersion")), said.get("Signature")
    if version not in ("1", "2") or not isinstance(signature, str):
        raise forged()
    certificate = certificates.at(_address(said))
    check_rsa(certificate, signature, signed.encode(), v1=version == "1", now=now)


def _address(said: dict[str, Any]) -> str:
    """Of Amazon's certificate in the topic's own region."""
    url, topic = str(said.get("SigningCertURL")), _ARN.fullmatch(said["TopicArn"])
    found = _CERTIFICATE.fullmatch(url)
    if found is None or topic is None or found[1] != topic[1]:
        raise RefusedError(401, "the certificate does not lie with Amazon, in the topic's region")
    return url


def _kind(event: dict[str, Any]) -> Kind | None:
    name = str(event.get("eventType") or event.get("notificationType"))
    if name != "Bounce":
        return _KINDS.get(name)
    # What is transient may be an answer from somebody on holiday, who did get it.
    bounce = event.get("bounce")
    permanent = isinstance(bounce, dict) and bounce.get("bounceType") == "Permanent"
    return "bounced" if permanent else None


def _names(event: dict[str, Any]) -> Iterator[object]:
    """Where a send id may stand: SES gives a message an id of its own, but tells the headers."""
    mail = event.get("mail")
    if not isinstance(mail, dict):
        return
    tags = mail.get("tags")
    if isinstance(tags, dict) and isinstance(tags.get("send_id"), list):
        yield from tags["send_id"]
    headers = mail.get("headers")
    for one in headers if isinstance(headers, list) else []:
        if isinstance(one, dict) and str(one.get("name")).lower() in _HEADERS:
            yield one.get("value")


_HEADERS = frozenset({"message-id", "list-unsubscribe"})
