"""Keyed hashes of people and addresses: slots and suppressions outlive the data they came from."""

import contextlib
import hashlib
import hmac
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from recsys.errors import LedgerError

ChannelName = Literal["email", "sms", "push"]
CHANNELS: tuple[ChannelName, ...] = get_args(ChannelName)

# Raise it when `normalise` changes: old suppressions would no longer match.
NORMALISER = 1

_EMAIL = re.compile(r"[^\s@<>(),:;\"\\\[\]]+@[a-z0-9-]+(\.[a-z0-9-]+)+")
_PHONE = re.compile(r"\+[1-9][0-9]{6,14}")
_PHONE_MARKS = str.maketrans("", "", " -./()")
_TOKEN = re.compile(r"[!-~]{8,4096}")
_BREAKS = re.compile(r"[\x00-\x1f\x7f\u0085\u2028\u2029]")


@dataclass(frozen=True, slots=True)
class Identity:
    """The ledger's secret key and what is derived from it."""

    key: bytes
    side_by_side: bool = True
    """whether one occasion's send ids lie together, in the order of its persons; in a ledger from
    before version 4 they keep the places that they have"""

    @property
    def fingerprint(self) -> str:
        """Tells two keys apart and gives neither away."""
        return self._hash("fingerprint", "")

    def person(self, member_id: str) -> str:
        """One member, whatever their addresses."""
        return self._hash("person", member_id)

    def contact(self, channel: str, address: str) -> str:
        """One contact point, whoever shares it; the address is normalised first."""
        return self._hash("contact", f"{channel}\x00{normalise(channel, address)}")

    def send_id(self, occasion: str, person: str) -> str:
        """Of the occasion, not of a plan's content: planning again cannot send again."""
        own = _digest(f"{occasion}\x00{person}")
        if not self.side_by_side:
            return own[:32]
        return _digest(occasion)[:8] + person[:8] + own[:16]

    def token(self, send_id: str) -> str:
        """What an unsubscribe link carries: opaque, and only we can make it."""
        return f"{send_id}.{self._hash('token', send_id)}"

    def send_of(self, token: str) -> str | None:
        """The send that a token was made for; None for a token that is not ours."""
        send_id = token.partition(".")[0]
        ours = self.token(send_id).encode()
        return send_id if hmac.compare_digest(ours, token.encode()) else None

    def _hash(self, use: str, text: str) -> str:
        return hmac.new(self.key, f"{use}\x00{text}".encode(), hashlib.sha256).hexdigest()[:32]


def normalise(channel: str, address: str) -> str:
    """One spelling for each contact point. ValueError says why an address is refused."""
    if _BREAKS.search(address):
        raise ValueError("the address holds a line break or a control character")
    plain = address.strip()
    if channel != "push":  # a token is compared letter by letter
        plain = plain.lower()
    if not plain.isascii():
        raise ValueError("the address is not plain ASCII; write the domain in its xn-- form")
    if channel == "email" and (len(plain) > 254 or not _EMAIL.fullmatch(plain)):
        raise ValueError("the address is not of the form name@domain.tld")
    if channel == "sms":
        plain = plain.translate(_PHONE_MARKS)
        if not _PHONE.fullmatch(plain):
            raise ValueError("the number is not of the form +4915112345678")
    if channel == "push" and not _TOKEN.fullmatch(plain):
        raise ValueError("the token is not of 8 to 4,096 letters without spaces")
    if not plain:
        raise ValueError("the address is empty")
    return plain


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def make_key(path: Path) -> None:
    """A new key file that only its owner reads. An existing one is left as it is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        # A link, not a rename: of two processes at first use the second must not win.
        with contextlib.suppress(FileExistsError):
            os.link(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def read_key(path: Path) -> Identity:
    """The identity in a key file; LedgerError for one that others may read or that is damaged."""
    if path.stat().st_mode & 0o077:
        raise LedgerError(f"The key file {path} can be read by others; run: chmod 600 {path}")
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except ValueError:
        key = b""
    if len(key) != 32:
        raise LedgerError(f"The key file {path} is damaged; put it back from its backup")
    return Identity(key)
