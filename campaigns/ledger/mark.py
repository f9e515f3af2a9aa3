"""How far the ledger had come, kept outside of it: so that an older copy of it is known as one.

The file lies beside the key. It is written by whoever sends, after the instant that it names is
committed: so an honest ledger is never behind it, whatever is killed.
"""

from pathlib import Path

from campaigns.files import sync_folder, write_whole
from campaigns.instants import SECOND, words
from recsys.errors import LedgerError

EVERY = 2 * SECOND
"""What a copy made while a killed sender was sending may hide at most."""
MEND = (
    "Run `guesslike campaigns restore --reopen`: it closes the ledger for sending for a week, or, "
    "with --provider-log FILE, takes in what was sent since"
)


class Mark:
    """The mark of one ledger on one machine."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._told: tuple[str, int] | None = None

    @property
    def in_use(self) -> bool:
        """Whether this process sends."""
        return self._told is not None

    def check(self, epoch: str, hi: int, *, before: frozenset[str]) -> None:
        """LedgerError for a ledger that is older than its mark, or was never marked by it.

        before: the epochs that the ledger has left behind; what was sent in those counts as known.
        """
        told = self._read()
        if told is None or told[0] in before:
            return
        if told[0] != epoch:
            raise LedgerError(
                f"This ledger is not the one that was sent from until {words(told[1])}, by "
                f"{self.path}: it is new, or an older copy. {MEND}"
            )
        if hi < told[1]:
            raise LedgerError(
                f"This ledger ends at {words(hi)}, and this machine sent from it until "
                f"{words(told[1])}, by {self.path}: it is an older copy. {MEND}"
            )

    def ahead(self, epoch: str, hi: int, *, at_once: bool = False) -> None:
        """Notes an instant that the ledger has committed; without `at_once`, every few seconds."""
        told = self._told
        if told is not None and told[0] == epoch and hi < told[1] + (1 if at_once else EVERY):
            return
        noted = self._read()  # another sender may be further
        if noted is not None and noted[0] == epoch and noted[1] > hi:
            self._told = noted
            return
        write_whole(self.path, f"{epoch} {hi}\n".encode())
        sync_folder(self.path.parent)
        self._told = (epoch, hi)

    def _read(self) -> tuple[str, int] | None:
        try:
            epoch, hi = self.path.read_text(encoding="ascii").split()
            return epoch, int(hi)
        except FileNotFoundError:
            return None
        except ValueError:
            raise LedgerError(
                f"{self.path} is damaged; put it back from its backup. Without one, delete it and "
                "run `guesslike campaigns restore --reopen`"
            ) from None
