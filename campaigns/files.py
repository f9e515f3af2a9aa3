"""Files that are whole or not there at all."""

import os
from pathlib import Path
from threading import get_ident


def write_whole(path: Path, content: bytes) -> None:
    """A draft, flushed, then renamed into place. The folder is not yet flushed: `sync_folder`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two processes or threads may write one file at once, each with a draft of its own.
    draft = path.with_name(f".{path.name}.{os.getpid()}.{get_ident()}.tmp")
    try:
        with draft.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """A rename is durable once its folder is flushed."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
