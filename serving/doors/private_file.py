"""Small files that only their owner may read, replaced as a whole."""

import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec

from recsys.errors import AccessError

T = TypeVar("T")
Mark = tuple[int, int, int] | None


def mark(path: Path) -> Mark:
    """Changes when the file is replaced; None while there is none."""
    try:
        facts = path.stat()
    except FileNotFoundError:
        return None
    return facts.st_ino, facts.st_mtime_ns, facts.st_size


def read(path: Path, kind: type[T]) -> T | None:
    """What lies there, checked against its type; None where there is nothing."""
    try:
        with path.open("rb") as file:
            if os.fstat(file.fileno()).st_mode & 0o077:
                raise AccessError(f"{path} can be read by others; run: chmod 600 {path}")
            return msgspec.json.decode(file.read(), type=kind)
    except FileNotFoundError:
        return None
    except msgspec.MsgspecError as error:
        raise AccessError(f"{path} is damaged ({error}); put it back from its backup") from None


def write(path: Path, content: object) -> None:
    """Replace it: a reader sees the old or the new, whatever is killed."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(content)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)  # a revocation must not come undone with the power
    finally:
        os.close(folder)


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One change at a time: two commands at once must not lose a key or a revocation."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "keys.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
