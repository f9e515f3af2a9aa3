"""Member tokens: a browser's proof, made by the shop's server, of whose list it may see.

    glt1.SECRET_ID.BODY.MAC     MAC = HMAC-SHA256(secret, all before the last dot)

Our own, for only we read it. A JWT names its algorithm, its type and where its key is, in a header
that has to be parsed before anything is proved; here the version fixes all of that. The MAC is over
the text as it came and is compared as text, so there is no second spelling of a valid token.
"""

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from serving.doors import private_file

FILE = "signing.json"
VERSION = "glt1"
LONGEST = 2048
"""characters; an id of 128 of the widest needs 1,100"""
KEPT = 2
"""secrets: the newest signs, the one before it still opens"""


class Secret(msgspec.Struct, frozen=True):
    """What tokens are signed with. Whoever has it can be anybody: it never leaves its file."""

    id: str
    key: str
    """64 hexadecimal digits"""
    created: datetime

    def __repr__(self) -> str:
        return f"Secret({self.id})"


class Claims(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What a token says."""

    subject: Literal["member", "visitor"]
    id: str
    expires: int
    """seconds since 1970 UTC; from then on it is refused"""
    audience: str
    issuer: str
    """the server key that asked for it: with the key its tokens end"""


class InvalidTokenError(Exception):
    """The text is no token that is good now. Its message says why, and repeats nothing of it."""


def read(folder: Path) -> list[Secret]:
    """The secrets, oldest first; AccessError for a damaged file."""
    return private_file.read(folder / FILE, list[Secret]) or []


def renew(folder: Path, *, now: datetime, only_first: bool = False) -> None:
    """A new secret signs from now on. `only_first`: unless there is one."""
    with private_file.alone(folder):
        known = read(folder)
        if known and only_first:
            return
        fresh = Secret(id=secrets.token_hex(4), key=secrets.token_hex(32), created=now)
        private_file.write(folder / FILE, [*known, fresh][-KEPT:])


def sign(claims: Claims, secret: Secret) -> str:
    """The token that says this."""
    signed = f"{VERSION}.{secret.id}.{_text(msgspec.json.encode(claims))}"
    return f"{signed}.{_mac(signed, secret)}"


def verify(
    token: str, known: Mapping[str, Secret], *, audience: str, now: float, longest: int
) -> Claims:
    """What it says, if it is ours and good; `known` by id, `now` and `longest` in seconds.

    `longest` shuts out what was signed under another clock or a more generous setting.
    """
    if len(token) > LONGEST or not token.isascii():
        raise InvalidTokenError("this is no token of ours")
    signed, _, mac = token.rpartition(".")
    version, _, rest = signed.partition(".")
    secret_id, _, body = rest.partition(".")
    secret = known.get(secret_id)
    if version != VERSION or secret is None or not hmac.compare_digest(mac, _mac(signed, secret)):
        raise InvalidTokenError("this is no token of ours")
    claims = msgspec.json.decode(urlsafe_b64decode(body + "=" * (-len(body) % 4)), type=Claims)
    if claims.audience != audience:
        raise InvalidTokenError("this token is for another installation")
    if not now < claims.expires <= now + longest + 1:  # expires was rounded up
        raise InvalidTokenError("this token has expired")
    return claims


def _mac(signed: str, secret: Secret) -> str:
    return _text(hmac.digest(bytes.fromhex(secret.key), signed.encode(), hashlib.sha256))


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
