"""Tokens as somebody makes them who has no secret."""

import json
from base64 import urlsafe_b64encode

import msgspec

from serving.doors.tokens import Claims


def packed(value: object) -> str:
    return urlsafe_b64encode(msgspec.json.encode(value)).rstrip(b"=").decode()


def rewritten(text: str, claims: Claims) -> str:
    """Other claims before the true MAC."""
    version, secret_id, _, mac = text.split(".")
    return f"{version}.{secret_id}.{packed(claims)}.{mac}"


def unsigned(claims: Claims, algorithm: str) -> str:
    """A JWT, which says itself how it wants to be checked."""
    head = urlsafe_b64encode(json.dumps({"alg": algorithm, "typ": "JWT"}).encode()).decode()
    return f"{head.rstrip('=')}.{packed(claims)}."
