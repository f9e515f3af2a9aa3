"""Coupon codes: pools of them by coupon, and which send each one went out with.

A claim takes a code in its own transaction, and claims follow one another, so none is given twice.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from campaigns.instants import to_micros
from campaigns.ledger.asked import TEXT, asked, packed
from campaigns.ledger.ledger import Ledger, wait_for_claims


@dataclass(frozen=True, slots=True)
class Added:
    """What became of codes that were given."""

    new: int
    known: int
    taken: Mapping[str, str]
    """codes that stand for another coupon already, and which"""


@dataclass(frozen=True, slots=True)
class Pool:
    """Of one coupon's codes, how many are in which state."""

    free: int = 0
    sent: int = 0
    redeemed: int = 0


@dataclass(frozen=True, slots=True)
class Code:
    """A code and how far it came: `free`, `sent`, or `redeemed` with an order."""

    code: str
    coupon_id: str
    state: str
    campaign_id: str | None
    member_id: str | None
    """of the send's person, as their latest consent named them"""
    order_id: str | None


def add_codes(ledger: Ledger, codes: Mapping[str, str], *, now: datetime) -> Added:
    """Adds codes to the pools of their coupons (code → coupon). The same again adds nothing."""
    new, taken = 0, {}
    with ledger.writing() as connection:
        wait_for_claims(connection)
        for coupon in sorted(set(codes.values())):
            connection.execute(_OPEN, {"coupon": coupon, "at": to_micros(now)})
        for code, coupon in codes.items():
            row = {"code": code, "coupon": coupon, "at": to_micros(now)}
            if connection.execute(_ADD, row).first() is not None:
                new += 1
                continue
            holder = connection.execute(_HOLDER, row).scalar_one()
            if holder != coupon:
                taken[code] = holder
    return Added(new, len(codes) - new - len(taken), taken)


_OPEN = text("INSERT INTO pool (coupon, opened_at) VALUES (:coupon, :at) ON CONFLICT DO NOTHING")
_ADD = text(
    "INSERT INTO code (code, coupon, imported_at) VALUES (:code, :coupon, :at)"
    " ON CONFLICT DO NOTHING RETURNING code"
)
_HOLDER = text("SELECT coupon FROM code WHERE code = :code")


def coded_coupons(ledger: Ledger) -> set[str]:
    """The coupons that have codes, and are sent with one or not at all."""
    with ledger.reading() as connection:
        return set(connection.execute(text("SELECT coupon FROM pool")).scalars())


def pools(ledger: Ledger) -> dict[str, Pool]:
    """How many codes each coupon that has some has in which state."""
    with ledger.reading() as connection:
        found: dict[str, dict[str, int]] = {}
        for row in connection.execute(_POOLS):
            found.setdefault(row.coupon, {})[row.state] = row.codes
    return {coupon: Pool(**states) for coupon, states in found.items()}


def all_codes(ledger: Ledger) -> Iterator[Code]:
    """Every code, by coupon and code, at one instant."""
    with ledger.reading() as connection:
        for row in connection.execute(_ALL):
            yield Code(*row)


_STATE = (
    "CASE WHEN r.order_id IS NOT NULL THEN 'redeemed'"
    " WHEN c.send_id IS NOT NULL THEN 'sent' ELSE 'free' END AS state"
)
_FROM = "FROM code c LEFT JOIN redemption r ON r.code = c.code AND r.reversed_at IS NULL"
_POOLS = text(f"SELECT c.coupon, {_STATE}, COUNT(*) AS codes {_FROM} GROUP BY 1, 2 ORDER BY 1")
_ALL = text(f"""
SELECT c.code, c.coupon, {_STATE}, s.campaign,
  (SELECT p.member_id FROM contact_point p WHERE p.person = s.person AND p.member_id IS NOT NULL
    ORDER BY p.at DESC, p.seq DESC LIMIT 1) AS member_id,
  r.order_id
{_FROM} LEFT JOIN send s ON s.send_id = c.send_id AND s.state <> 'refused'
ORDER BY c.coupon, c.code
""")


def free_codes(connection: Connection) -> dict[str, int]:
    """How many free codes each coupon that has codes has left."""
    return {row.coupon: row.free for row in connection.execute(_FREE)}


_FREE = text(
    "SELECT pool.coupon, (SELECT COUNT(*) FROM code WHERE code.coupon = pool.coupon"
    " AND code.send_id IS NULL) AS free FROM pool"
)


def some_codes(connection: Connection, coupon: str, most: int) -> list[str]:
    """Free codes of a coupon, in their order."""
    return list(connection.execute(_SOME, {"coupon": coupon, "most": most}).scalars())


def take_codes(connection: Connection, taken: Sequence[tuple[str, str]]) -> None:
    """(code, send id): each free code is now the send's. Claims follow one another."""
    if taken:
        connection.execute(
            asked(connection, {"code": TEXT, "send_id": TEXT}, _TAKE), {"rows": packed(taken)}
        )


def code_of(connection: Connection, send_id: str) -> str | None:
    """The code that a send holds."""
    found = connection.execute(
        text("SELECT code FROM code WHERE send_id = :send_id"), {"send_id": send_id}
    ).scalar()
    return None if found is None else str(found)


def free_codes_of(connection: Connection, send_ids: Sequence[str]) -> None:
    """Back into its pool: nobody has seen it, or else it was redeemed and stays where it is."""
    rows = packed([[key] for key in send_ids])
    connection.execute(asked(connection, {"send_id": TEXT}, _RETURN), {"rows": rows})


_SOME = text(
    "SELECT code FROM code WHERE coupon = :coupon AND send_id IS NULL ORDER BY code LIMIT :most"
)
_TAKE = """
UPDATE code SET send_id = (SELECT send_id FROM asked WHERE asked.code = code.code)
WHERE code IN (SELECT code FROM asked) AND send_id IS NULL
"""
_RETURN = """
UPDATE code SET send_id = NULL WHERE send_id IN (SELECT send_id FROM asked) AND NOT EXISTS
  (SELECT 1 FROM redemption r WHERE r.code = code.code AND r.reversed_at IS NULL)
"""
