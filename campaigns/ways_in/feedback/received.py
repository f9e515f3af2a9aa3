"""A request of a provider, and what its body may say of a message of ours."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from campaigns.instants import from_micros

TOLERANCE = timedelta(minutes=5)
"""how old, or ahead of our clock, what was signed with its time may be"""
_SEND_ID = re.compile(r"[0-9a-f]{32}")
_IN_MESSAGE_ID = re.compile(r"<?([0-9a-f]{32})@[^@<>]*>?")
_IN_LINK = re.compile(r"/u/([0-9a-f]{32})\.")
_EVENT_ID = re.compile(r"[\x21-\x7e]{1,200}")


Fetch = Callable[[str], bytes]
"""address → the certificate there (PEM); OSError if it cannot be had"""


class RefusedError(Exception):
    """What is answered instead. Nothing was written."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status, self.detail = status, detail


@dataclass(frozen=True, slots=True)
class Received:
    """As it came over the wire."""

    headers: Mapping[str, str]
    """by lower-case names"""
    body: bytes
    query: str
    """of the address, without its question mark"""

    def header(self, name: str) -> str:
        """One that the scheme needs."""
        value = self.headers.get(name)
        if not value:
            raise RefusedError(401, f"the header {name} is missing: this is not signed")
        return value


def forged() -> RefusedError:
    """For a signature that does not hold."""
    return RefusedError(401, "the signature does not hold; check the secret on both sides")


def fresh(at: datetime, now: datetime, *, tolerance: timedelta = TOLERANCE) -> datetime:
    """An instant that was signed; 401 for one that is long past or to come: a replay."""
    if abs(now - at) > tolerance:
        raise RefusedError(401, "it was signed too long ago, or by a clock that is wrong")
    return at


def seconds(text: str) -> datetime:
    """An instant written as seconds since 1970."""
    if not re.fullmatch(r"[0-9]{1,11}", text):
        raise RefusedError(401, "the time that was signed is not in seconds")
    return from_micros(int(text) * 1_000_000)


def instant(value: object) -> datetime:
    """An instant with a zone."""
    try:
        at = datetime.fromisoformat(str(value))
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise malformed("a timestamp is no instant with a zone")
    return at


def told(body: bytes | str) -> Any:
    """What the JSON says."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise malformed("the body is not JSON") from None


def malformed(what: str) -> RefusedError:
    """For what is signed and cannot be read."""
    return RefusedError(400, what)


def event_id(value: object) -> str:
    """What the provider calls the event."""
    if not isinstance(value, str) or not _EVENT_ID.fullmatch(value):
        raise malformed("the event has no id")
    return value


def send_id(*values: object) -> str:
    """The first of the values that names a send: by itself, in a Message-ID or in our link."""
    for value in values:
        if not isinstance(value, str):
            continue
        if _SEND_ID.fullmatch(value):
            return value
        found = _IN_MESSAGE_ID.fullmatch(value.strip()) or _IN_LINK.search(value)
        if found:
            return found[1]
    return ""
