"""A plan's rows that are still to be sent, some at a time."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from campaigns.instants import to_micros
from campaigns.ledger.calls import Claim, Claimed
from campaigns.ledger.ledger import Ledger
from campaigns.ledger.remainder import Left, rows_left
from campaigns.plan import Plan

CHUNK = 1_024
"""rows looked up at once"""
BLOCK = 20
"""chunks that come one after another: what their messages show is looked up at once"""


@dataclass(frozen=True, slots=True)
class Planned:
    """One row to push or to hold out."""

    member: str
    claim: Claim
    key: str
    left: Left

    @property
    def flying(self) -> bool:
        """Whether a call was begun whose end is not known."""
        return self.left.attempt is not None

    def begun(self, claimed: Claimed) -> "Planned":
        """After a call whose end is not known."""
        left = replace(self.left, attempt=claimed.attempt, until=to_micros(claimed.until))
        return replace(self, left=left)


def chunks(plan: Plan, rng: np.random.Generator) -> Iterator[pl.DataFrame]:
    """All rows to push or to hold out, in parts, which come in an order by lot.

    So several senders share a plan without a word between them, and one that goes on where another
    was killed meets rows that are left at once.
    """
    rows = plan.rows.filter(pl.col("decision").is_in(["push", "held_out"]))
    starts = np.arange(0, len(rows), CHUNK)
    for block in rng.permutation(-(-len(starts) // BLOCK)).tolist():
        for at in rng.permutation(starts[block * BLOCK : (block + 1) * BLOCK]).tolist():
            yield rows.slice(at, CHUNK)


def remainder(plan: Plan, ledger: Ledger, rows: pl.DataFrame, *, reserving: bool) -> list[Planned]:
    """Those of the rows that are left. reserving: what their coupons may take off is limited."""
    if rows.is_empty():
        return []
    facts = rows.to_dicts()
    identity = ledger.identity
    people = [identity.person(row["member_id"]) for row in facts]
    keys = [identity.send_id(plan.occasion, person) for person in people]
    pairs = list(zip(people, keys, strict=True))
    found = rows_left(ledger, plan.plan_id, facts[0]["channel"], pairs)
    return [
        Planned(
            facts[one.place]["member_id"],
            Claim(
                plan_id=plan.plan_id,
                occasion=plan.occasion,
                campaign=facts[one.place]["campaign_id"],
                coupon=facts[one.place]["coupon_id"],
                channel=facts[one.place]["channel"],
                person=people[one.place],
                contact=one.contact or "",
                cost=facts[one.place]["cost"],
                reserve=(facts[one.place]["most_off"] or 0) if reserving else 0,
                ghost=facts[one.place]["decision"] == "held_out",
            ),
            keys[one.place],
            one,
        )
        for one in found
    ]
