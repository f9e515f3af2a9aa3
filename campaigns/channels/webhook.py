"""Hands messages to an HTTPS address, signed as Standard Webhooks says, one message a request.

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import hashlib
import hmac
import json
import select
import socket
import ssl
import time
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from urllib.parse import urlsplit

from campaigns.channels.contract import ACCEPTED, Answer, Delivery
from campaigns.channels.deadline import ending
from campaigns.ledger.identity import ChannelName, normalise
from campaigns.message import Message
from recsys.errors import ChannelError

_UNREACHED = timedelta(seconds=30)
_LATER = timedelta(minutes=1)
_LONGEST_WAIT = timedelta(days=1)
_IDLE_SECONDS = 4.0
"""an older line may be closed on us just as we write: many servers wait 5 seconds"""
_ANSWER_BYTES = 65_536

# These refuse every message alike: the address or the secret is wrong.
_MEND = {
    301: "a redirect, which is not followed; name the final address",
    302: "a redirect, which is not followed; name the final address",
    303: "a redirect, which is not followed; name the final address",
    307: "a redirect, which is not followed; name the final address",
    308: "a redirect, which is not followed; name the final address",
    401: "mend the secrets in secret_file",
    403: "mend the secrets in secret_file",
    404: "there is nothing at this address; mend url",
    405: "there is nothing to post to at this address; mend url",
}
_IN_DOUBT = frozenset({408, 409})


class Webhook:
    """An address of the shop's own, or of a provider, that takes messages.

    410, or a 400, 404 or 422 whose JSON says {"error": "recipient"}, is about the contact point.
    """

    def __init__(
        self,
        url: str,
        *,
        channel: ChannelName,
        secrets: Sequence[bytes],
        idempotent: bool = False,
        lanes: int = 8,
        seconds: float = 20,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        """secrets: of the HMAC; a request is signed with each of them.

        idempotent: whether the other side takes the same Idempotency-Key for the same message, for
        as long as calls may be made again. seconds: the longest that a call lasts.
        """
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._secure = parts.scheme == "https"
        self._channel, self._secrets = channel, secrets
        self.idempotent, self.lanes, self.seconds = idempotent, lanes, seconds
        self._trust = trust or ssl.create_default_context()
        self._idle: deque[tuple[HTTPConnection, float]] = deque()

    def deliver(self, message: Message, /, *, now: datetime) -> Answer:
        """ChannelError for an address or a secret that is wrong."""
        body = _body(message, self._channel, now)
        headers = signed(message.send_id, body, self._secrets, now) | {
            "Content-Type": "application/json",
            "Idempotency-Key": message.send_id,
            "User-Agent": "guesslike",
        }
        until = time.monotonic() + self.seconds
        line = self._fresh() or self._connect(until)
        if isinstance(line, Answer):
            return line
        with ending(line, until - time.monotonic()):
            try:
                line.request("POST", self._path, body, headers)
                response = line.getresponse()
            except (OSError, HTTPException) as error:
                line.close()
                return Answer(Delivery.UNKNOWN, f"no answer: {type(error).__name__}")
            said = self._read(line, response)
        return self._meaning(response, said, now)

    def close(self) -> None:
        """Closes every line."""
        while self._idle:
            self._idle.pop()[0].close()

    def _fresh(self) -> HTTPConnection | None:
        """An open line that the other side has not closed."""
        while self._idle:
            try:
                line, since = self._idle.pop()
            except IndexError:  # another lane took it
                return None
            young = time.monotonic() - since < _IDLE_SECONDS
            if young and line.sock is not None and not _has_spoken(line.sock):
                return line
            line.close()
        return None

    def _connect(self, until: float) -> HTTPConnection | Answer:
        line = (
            HTTPSConnection(self._host, self._port, timeout=self.seconds, context=self._trust)
            if self._secure
            else HTTPConnection(self._host, self._port, timeout=self.seconds)
        )
        line.auto_open = 0  # a line that was cut stays cut
        try:
            line.connect()
        except ssl.SSLCertVerificationError as error:
            line.close()
            raise ChannelError(
                f"The certificate of {self._host} does not hold: {error.verify_message}. Name the "
                f"server of channel {self._channel} as its certificate does"
            ) from None
        except OSError as error:
            line.close()
            return _unreached(f"no connection: {type(error).__name__}")
        if time.monotonic() >= until:
            line.close()
            return _unreached("the server is too slow")
        return line

    def _read(self, line: HTTPConnection, response: HTTPResponse) -> bytes:
        """What the answer says beside its status, which stands whatever comes after it."""
        try:
            said = response.read(_ANSWER_BYTES)
        except (OSError, HTTPException):
            line.close()
            return b""
        if response.isclosed() and line.sock is not None:
            self._idle.append((line, time.monotonic()))
        else:
            response.close()
            line.close()
        return said

    def _meaning(self, response: HTTPResponse, said: bytes, now: datetime) -> Answer:
        status = response.status
        reason = f"HTTP {status}"
        wait = _asked_for(response.headers.get("Retry-After"), now)
        if 200 <= status < 300:
            return ACCEPTED
        if status == 410 or (status in (400, 404, 422) and _of_recipient(said)):
            return Answer(Delivery.REJECTED, reason)
        if status in _MEND:
            raise ChannelError(
                f"Channel {self._channel}: {self._host} answers {status}: {_MEND[status]}"
            )
        if status == 429 or (status == 503 and wait is not None):
            return Answer(Delivery.REFUSED, reason, wait or _LATER)
        if 400 <= status < 500 and status not in _IN_DOUBT:
            return Answer(Delivery.REFUSED, reason)
        return Answer(Delivery.UNKNOWN, reason)


def _has_spoken(sock: socket.socket) -> bool:
    """Whether something waits to be read, or the other side closed it."""
    poll = select.poll()  # select() takes no file numbers beyond 1,023
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def signed(send_id: str, body: bytes, secrets: Sequence[bytes], now: datetime) -> dict[str, str]:
    """The headers webhook-id, webhook-timestamp and webhook-signature, one signature a secret."""
    at = str(int(now.timestamp()))
    text = b".".join([send_id.encode(), at.encode(), body])
    signatures = [
        "v1," + base64.b64encode(hmac.new(secret, text, hashlib.sha256).digest()).decode()
        for secret in secrets
    ]
    return {
        "webhook-id": send_id,
        "webhook-timestamp": at,
        "webhook-signature": " ".join(signatures),
    }


def _body(message: Message, channel: ChannelName, now: datetime) -> bytes:
    data = {
        "send_id": message.send_id,
        "channel": channel,
        "to": normalise(channel, message.to),
        "subject": message.subject,
        "text": message.text,
        "html": message.html or None,
        "unsubscribe": message.unsubscribe,
    }
    whole = {"type": "message.send", "timestamp": now.astimezone(UTC).isoformat(), "data": data}
    return json.dumps(whole, ensure_ascii=False).encode()


def _of_recipient(said: bytes) -> bool:
    try:
        return bool(json.loads(said)["error"] == "recipient")
    except (ValueError, TypeError, KeyError):
        return False


def _asked_for(retry_after: str | None, now: datetime) -> timedelta | None:
    """Seconds or a date (RFC 9110, 10.2.3); None for neither. At most a day."""
    if retry_after is None:
        return None
    asked = retry_after.strip()
    try:
        if asked.isascii() and asked.isdecimal():
            wait = timedelta(seconds=min(int(asked[:9]), 10**8))
        else:
            at = parsedate_to_datetime(asked)
            wait = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    except ValueError:
        return None
    return min(max(wait, timedelta(0)), _LONGEST_WAIT)


def _unreached(reason: str) -> Answer:
    return Answer(Delivery.REFUSED, reason, _UNREACHED)
