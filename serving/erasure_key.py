"""The keyed hash under which an erased member is remembered."""

import hashlib
import hmac
import secrets
from pathlib import Path

import msgspec

from recsys.errors import AccessError
from serving.doors import private_file

FILE = "erasures.json"


class ErasureKey(msgspec.Struct, frozen=True):
    """Whoever has it can find out whether a member that they think of was erased."""

    id: str
    key: str
    """64 hexadecimal digits"""

    def __repr__(self) -> str:
        return f"ErasureKey({self.id})"

    def hash(self, member_id: str) -> str:
        """Tells the key, too: with another one nobody would be found."""
        digest = hmac.digest(bytes.fromhex(self.key), member_id.encode(), hashlib.sha256)
        return f"{self.id}.{digest.hex()}"


def erasure_key(folder: Path) -> ErasureKey:
    """The folder's key, made where there is none; AccessError for a damaged file."""
    with private_file.alone(folder):
        key = private_file.read(folder / FILE, ErasureKey)
        if key is None:
            key = ErasureKey(secrets.token_hex(4), secrets.token_hex(32))
            private_file.write(folder / FILE, key)
    return key


def check_hash(member_hash: str, key: ErasureKey, folder: Path) -> None:
    """AccessError for a member that was erased under another key."""
    if member_hash.partition(".")[0] != key.id:
        raise AccessError(
            f"{folder / FILE} is another key than the one that members were erased with: put that "
            "one back from its backup, or copy it from the machine that drained before"
        )
