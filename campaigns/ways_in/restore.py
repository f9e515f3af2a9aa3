"""Opens a ledger again that was put back from a copy."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from campaigns.ledger.restoring import Reopened, open_gate, reopen
from campaigns.run import Composition
from campaigns.ways_in.imports import import_pushes
from campaigns.ways_in.rows import Imported

WEEK = timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Restored:
    """How a ledger was opened again."""

    reopened: Reopened
    log: Imported | None
    """what came of the provider's log, if there was one"""
    is_open: bool

    @property
    def opens_at(self) -> datetime | None:
        """When sending may begin, if not now."""
        return None if self.is_open else self.reopened.closed_until


def restore(composition: Composition, provider_log: Path | None) -> Restored:
    """A new epoch, closed for a week and the longest call; open at once with a whole log.

    A log of which a row was left out leaves the gate closed: mend the row, and run it again.
    """
    settings, now = composition.settings, composition.now()
    gap = max(WEEK, timedelta(days=settings.min_gap_days))
    closed = gap + timedelta(seconds=settings.call_seconds)
    with composition.open_ledger() as ledger:
        reopened = reopen(ledger, now=now, closed=closed)
    if provider_log is None:
        return Restored(reopened, None, False)
    with composition.open_ledger() as ledger:
        log = import_pushes(provider_log, ledger, source="provider log", now=now)
        if not log.rejects:
            open_gate(ledger, reopened.epoch)
    return Restored(reopened, log, not log.rejects)
