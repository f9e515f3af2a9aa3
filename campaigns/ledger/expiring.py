"""Gives back what was reserved for coupons that nobody can use any more."""

from collections.abc import Collection

from campaigns.ledger.asked import TEXT, asked, packed
from campaigns.ledger.ledger import Ledger, wait_for_claims
from campaigns.ledger.purses import discount_purse, put_back


def reserved_coupons(ledger: Ledger) -> set[str]:
    """Coupons for which discounts are reserved."""
    with ledger.reading() as connection:
        return set(connection.exec_driver_sql(_COUPONS).scalars())


def release(ledger: Ledger, coupons: Collection[str]) -> int:
    """Frees what is reserved for these coupons; minor units. The same again frees nothing."""
    if not coupons:
        return 0
    with ledger.writing() as connection:
        wait_for_claims(connection)
        rows = packed([[coupon] for coupon in sorted(coupons)])
        freed = connection.execute(
            asked(connection, {"coupon": TEXT}, _RESERVED), {"rows": rows}
        ).all()
        connection.execute(asked(connection, {"coupon": TEXT}, _RELEASE), {"rows": rows})
        put_back(
            connection,
            [("discount_budget", discount_purse(row.campaign), int(row.freed)) for row in freed],
        )
    return sum(int(row.freed) for row in freed)


_COUPONS = "SELECT DISTINCT coupon FROM send WHERE reserved > 0"
_RESERVED = """
SELECT campaign, SUM(reserved) AS freed FROM send
WHERE coupon IN (SELECT coupon FROM asked) AND reserved > 0 GROUP BY campaign
"""
_RELEASE = """
UPDATE send SET reserved = 0 WHERE coupon IN (SELECT coupon FROM asked) AND reserved > 0
"""
