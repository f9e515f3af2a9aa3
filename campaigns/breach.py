"""What a proof of the ledger finds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Breach:
    """One broken promise."""

    rule: str
    text: str
