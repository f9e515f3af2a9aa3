"""What campaigns tell serving of a member's coupons."""

from threading import Lock

from campaigns.ledger.holdings import Holding, holding
from campaigns.ledger.ledger import Ledger
from campaigns.run import Composition
from recsys.errors import LedgerError


class Holdings:
    """Answers from a ledger that stays open: opening one takes the lock that senders wait for.

    Safe to ask from several threads.
    """

    def __init__(self, composition: Composition) -> None:
        self._composition = composition
        self._lock = Lock()
        self._open: Ledger | None = None

    def of(self, member_id: str) -> Holding:
        """Nothing where there is no ledger; LedgerError if it cannot be reached, and the next
        question opens it anew."""
        if not self._composition.ledger_exists():
            self.close()
            return Holding()
        try:
            return holding(self._ledger(), member_id)
        except LedgerError:
            self.close()
            raise

    def close(self) -> None:
        """Gives back every connection."""
        with self._lock:
            ledger, self._open = self._open, None
        if ledger is not None:
            ledger.close()

    def _ledger(self) -> Ledger:
        with self._lock:
            if self._open is None:
                self._open = self._composition.open_ledger()
            return self._open
