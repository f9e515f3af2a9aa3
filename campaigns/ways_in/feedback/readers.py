"""For each provider the function that proves and reads what it sends."""

import ssl
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any
from urllib.request import HTTPRedirectHandler, HTTPSHandler, build_opener

from campaigns.ledger.feedback import Feedback
from campaigns.ways_in.feedback import standard, twilio
from campaigns.ways_in.feedback.provider import Provider
from campaigns.ways_in.feedback.received import Fetch, Received

CERTIFICATE_BYTES = 65_536
_SECONDS = 5

Reader = Callable[[Received, datetime], Iterator[Feedback]]


def readers(known: Mapping[str, Provider], *, fetch: Fetch) -> dict[str, Reader]:
    """By name; SettingsError for a secret that is none of its scheme's."""
    return {name: _reader(one, fetch) for name, one in known.items()}


def _reader(one: Provider, fetch: Fetch) -> Reader:
    if one.scheme == "standard":
        for secret in one.secrets:
            standard.key(secret)
        return lambda received, now: standard.events(received, one, now=now)
    if one.scheme == "twilio":
        return lambda received, now: twilio.events(received, one, now=now)
    return _by_public_key(one, fetch)


def _by_public_key(one: Provider, fetch: Fetch) -> Reader:
    # Only these need the library, which costs a worker process some MB.
    from campaigns.ways_in.feedback import public_keys, sendgrid, sns  # noqa: PLC0415

    if one.scheme == "sendgrid":
        for secret in one.secrets:
            public_keys.ecdsa_key(secret)
        return lambda received, now: sendgrid.events(received, one, now=now)
    certificates = sns.Certificates(fetch)
    read = partial(sns.events, provider=one, certificates=certificates)
    return lambda received, now: read(received, now=now)


class _NoRedirect(HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """An address that leads elsewhere is not the one that was checked."""


def fetch_certificate(url: str) -> bytes:
    """Over TLS, from that host and no other."""
    opener = build_opener(HTTPSHandler(context=ssl.create_default_context()), _NoRedirect())
    with opener.open(url, timeout=_SECONDS) as answer:
        return bytes(answer.read(CERTIFICATE_BYTES))
