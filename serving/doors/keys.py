"""Keys of the shop's programs: shown once, kept as hashes, several valid at once."""

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from recsys.errors import AccessError
from serving.doors import private_file

Kind = Literal["server", "publishable"]

FILE = "keys.json"
PREFIX: dict[Kind, str] = {"server": "gls", "publishable": "glp"}
"""so that scanners for leaked secrets, and people, know one when they see it"""


class Key(msgspec.Struct, frozen=True):
    """What is kept of a key: enough to know it again, not enough to make it."""

    id: str
    kind: Kind
    name: str
    created: datetime
    sha256: str
    """of the whole key. Slow hashes are for guessable passwords; 256 random bits have no list
    of likely values to try, so one fast hash is as safe and costs a request a microsecond"""
    revoked: datetime | None = None


def read(folder: Path) -> list[Key]:
    """All that were ever made, revoked ones too; AccessError for a damaged file."""
    return private_file.read(folder / FILE, list[Key]) or []


def add(folder: Path, kind: Kind, *, name: str, now: datetime) -> tuple[Key, str]:
    """A new key beside those there are, and its text: the only time that it is known."""
    with private_file.alone(folder):
        known = read(folder)
        taken = {key.id for key in known}
        key_id = next(one for one in iter(lambda: secrets.token_hex(4), None) if one not in taken)
        text = f"{PREFIX[kind]}_{key_id}_{secrets.token_hex(32)}"
        key = Key(id=key_id, kind=kind, name=name, created=now, sha256=_hash(text))
        private_file.write(folder / FILE, [*known, key])
    return key, text


def revoke(folder: Path, key_id: str, *, now: datetime) -> Key:
    """Shut it out for good. The same again changes nothing."""
    with private_file.alone(folder):
        known = read(folder)
        at = next((at for at, key in enumerate(known) if key.id == key_id), None)
        if at is None:
            raise AccessError(f"there is no key {key_id!r}; guesslike keys list has them")
        if known[at].revoked is None:
            known[at] = msgspec.structs.replace(known[at], revoked=now)
            private_file.write(folder / FILE, known)
        return known[at]


def find(text: str, keys: Mapping[str, Key]) -> Key | None:
    """The valid key, by id, that this is the text of."""
    prefix, _, rest = text.partition("_")
    key = keys.get(rest.partition("_")[0])
    if key is None or key.revoked is not None or prefix != PREFIX[key.kind]:
        return None
    return key if hmac.compare_digest(_hash(text), key.sha256) else None


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
