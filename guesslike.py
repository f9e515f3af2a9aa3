"""The console script. `composition.py` and `commands.py` know all packages; nothing else does."""

import os

# OpenMP pools and BLAS threads fight: a threaded BLAS serves 47 requests a second where one
# thread serves 1,115. It must be said before numpy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import errno
import sys
from typing import Any

from rich.console import Console

from recsys.errors import GuesslikeError


def main() -> None:
    """The console script: what a person can mend is one message and exit code 2."""
    from commands import app  # noqa: PLC0415 - a worker runs this file again, and needs none

    try:
        app()
    except GuesslikeError as error:
        _stop(str(error))
    except OSError as error:
        if error.errno not in _OF_THE_DISK:
            raise
        where = error.filename or "the local folder"
        _stop(f"{where}: {error.strerror}. Make room or name another folder with GUESSLIKE_HOME.")


_OF_THE_DISK = (
    errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EROFS, errno.ENOTDIR, errno.EEXIST,
)  # fmt: skip


def _stop(message: str) -> Any:
    Console(stderr=True, soft_wrap=True).print(f"guesslike: {message}", markup=False, style="red")
    sys.exit(2)


if __name__ == "__main__":
    main()
