"""The ledger behind a route: open for one answer, or an answer that says so."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from fastapi import HTTPException

from campaigns.ledger.ledger import Ledger
from campaigns.run import Composition
from recsys.errors import LedgerError

log = logging.getLogger(__name__)


@contextmanager
def answering(composition: Composition, *, instead: str) -> Iterator[Ledger]:
    """503 and what to do `instead` where the ledger cannot be reached; the log has the cause."""
    try:
        with composition.open_ledger() as ledger:
            yield ledger
    except LedgerError:
        log.exception("the ledger could not be read or written for an answer")
        raise HTTPException(503, instead) from None
