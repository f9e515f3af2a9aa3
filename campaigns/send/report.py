"""What one run of a sender did, and how the plan stands after it."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime

from campaigns.ledger.ledger import Ledger
from campaigns.ledger.plans import count_outcomes, find_plan
from campaigns.plan import Plan


@dataclass(slots=True)
class SendReport:
    """See the fields."""

    plan_id: str
    made: Counter[str] = field(default_factory=Counter)
    """calls of this run by result, without those that another sender had settled before"""
    outcomes: Counter[str] = field(default_factory=Counter)
    """all rows of the plan by outcome, reasons of skips beside: `skipped: no_consent`"""
    waiting: int = 0
    """rows without an outcome yet: capped for now, in quiet hours, or not due"""
    quiet: int = 0
    """those of them that wait for the end of the member's quiet hours"""
    late: int = 0
    """those of them that wait for the last tenth of the window"""
    unknown_zones: int = 0
    """rows of this run whose member has no known zone, and longer quiet hours for it"""
    next_at: datetime | None = None
    """when the first of the waiting may go"""
    held_up: str | None = None
    """why the run ended before all that could go had gone"""
    done: bool = False

    def look_again(self) -> None:
        """Who waits, and until when, is counted anew."""
        self.quiet = self.late = 0
        self.next_at = None

    def wait_until(self, instant: datetime) -> None:
        """Something may go then."""
        if self.next_at is None or instant < self.next_at:
            self.next_at = instant

    def count(self, plan: Plan, ledger: Ledger) -> None:
        """How the plan stands now."""
        closed = count_outcomes(ledger, plan.plan_id)
        for (outcome, reason), rows in closed.items():
            self.outcomes[f"skipped: {reason}" if outcome == "skipped" else outcome] += rows
        self.waiting = len(plan.rows) - sum(closed.values())
        known = find_plan(ledger, plan.plan_id)
        self.done = known is not None and known.state == "done"
