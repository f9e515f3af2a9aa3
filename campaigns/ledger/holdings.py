"""What the ledger knows of coupons for one member: what they may still use, what is left."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import text

from campaigns.ledger.ledger import Ledger
from campaigns.ledger.purses import coupon_purse, redeemed_purse


@dataclass(frozen=True, slots=True)
class Holding:
    """Of one member."""

    sent: Mapping[str, str | None] = field(default_factory=dict)
    """coupons sent to the member and not used yet, each with its code if it has one"""
    closed: frozenset[str] = frozenset()
    """coupons the member has no right to: used, or given by codes of which they have none"""
    issued: Mapping[str, int] = field(default_factory=dict)
    """how often each coupon was issued to anybody; those never issued left out"""
    redeemed: Mapping[str, int] = field(default_factory=dict)
    """likewise, redeemed"""


def holding(ledger: Ledger, member_id: str) -> Holding:
    """At one instant."""
    who = {"person": ledger.identity.person(member_id)}
    with ledger.reading() as connection:
        sends = connection.execute(_SENDS, who).all()
        used = set(connection.execute(_USED, who).scalars())
        coded = set(connection.execute(text("SELECT coupon FROM pool")).scalars())
        taken = {row.purse: row.used for row in connection.execute(_TAKEN)}
    sent = {row.coupon: row.code for row in sends if not row.used}
    used.update(row.coupon for row in sends)
    return Holding(
        sent,
        frozenset((used | coded) - sent.keys()),
        _counts(taken, coupon_purse("")),
        _counts(taken, redeemed_purse("")),
    )


def _counts(taken: Mapping[str, int], prefix: str) -> dict[str, int]:
    return {
        name.removeprefix(prefix): used for name, used in taken.items() if name.startswith(prefix)
    }


# A call that may not have ended shows nobody its code: it could still be given back.
_SENDS = text("""
SELECT s.coupon, c.code, EXISTS (SELECT 1 FROM redemption r WHERE r.coupon = s.coupon
  AND r.person = s.person AND r.send_id = s.send_id AND r.reversed_at IS NULL) AS used
FROM send s LEFT JOIN code c ON c.send_id = s.send_id
WHERE s.person = :person AND s.coupon IS NOT NULL AND s.ghost = 0 AND s.released = 0
  AND s.state IN ('accepted', 'unknown') ORDER BY s.at
""")
_USED = text("SELECT coupon FROM redemption WHERE person = :person AND reversed_at IS NULL")
_TAKEN = text(
    "SELECT purse, used FROM purse WHERE used > 0"
    " AND (purse LIKE 'coupon:%' OR purse LIKE 'redeemed:%')"
)
