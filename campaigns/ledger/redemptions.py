"""Redemptions: a coupon used with an order, at most as often as there is a right to, and undone.

Each send of a coupon is a right to use it once; where the coupon has codes, the send's code is.
What it may take off was reserved when it was sent; a redemption takes what it really takes off in
its place, and an order that is undone reserves it again. A coupon without codes that was never
sent to a member may be used once, too. Redemptions follow one another, and claims: whoever comes
second sees what the first one took.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from campaigns.instants import from_micros, to_micros
from campaigns.ledger.ledger import Ledger, wait_for_claims
from campaigns.ledger.plans import UNLIMITED
from campaigns.ledger.purses import (
    Open,
    coupon_purse,
    discount_purse,
    put_back,
    redeemed_purse,
    redemption_purses,
)


@dataclass(frozen=True, slots=True)
class Use:
    """What a checkout asks for: `code`, or a member who uses a coupon without one."""

    order_id: str
    coupon_id: str
    discount: int
    """minor units that come off the order"""
    at: datetime
    member_id: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Redemption:
    """A coupon that was used with an order."""

    order_id: str
    coupon_id: str
    campaign_id: str | None
    """that the coupon was sent in"""
    code: str | None
    discount: int
    at: datetime
    new: bool
    """False where this very use was recorded before"""


@dataclass(frozen=True, slots=True)
class Refused:
    """Nothing was taken, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Right:
    person: str
    send_id: str = ""
    campaign: str | None = None
    reserved: int = 0


def coupon_of(ledger: Ledger, code: str) -> str | None:
    """The coupon that a code stands for, for good; None for a code that is none of ours."""
    with ledger.reading() as connection:
        found = connection.execute(
            text("SELECT coupon FROM code WHERE code = :code"), {"code": code}
        ).scalar()
    return None if found is None else str(found)


def sent_to(ledger: Ledger, code: str) -> list[str | None]:
    """The member that a code was sent to, None for one who was erased; nothing for one not sent."""
    with ledger.reading() as connection:
        return list(connection.execute(_SENT_TO, {"code": code}).scalars())


def recorded(ledger: Ledger, use: Use) -> Redemption | Refused | None:
    """What the ledger says of an order and a coupon that it has together already."""
    with ledger.reading() as connection:
        return _before(connection, ledger, use)


def redeem(
    ledger: Ledger, use: Use, *, limit: int | None, issues: int | None = None, now: datetime
) -> Redemption | Refused:
    """Takes the right, the coupon's limit of redemptions and its campaign's money, or nothing.

    The same use again changes nothing. An order that was reversed stays so. issues: when so many
    were issued, who was not sent the coupon has no right to it.
    """
    with ledger.writing() as connection:
        wait_for_claims(connection)
        before = _before(connection, ledger, use)
        if before is not None:
            return before
        right = _right(connection, ledger, use, issues)
        if isinstance(right, Refused):
            return right
        _open_purses(connection, use.coupon_id, right.campaign, limit)
        # What was reserved is taken already: only what the discount is more, or less, counts.
        parts = redemption_purses(right.campaign, use.coupon_id, use.discount - right.reserved)
        purses = Open.of(connection, [name for _, name, _ in parts])
        broke = purses.take(parts)
        if broke is not None:
            return Refused(broke)
        purses.close(connection)
        if right.reserved:
            connection.execute(_UNRESERVE, {"send_id": right.send_id})
        connection.execute(
            _INSERT,
            {
                "order_id": use.order_id,
                "coupon": use.coupon_id,
                "person": right.person,
                "send_id": right.send_id,
                "campaign": right.campaign,
                "code": use.code,
                "discount": use.discount,
                "at": to_micros(use.at),
                "now": to_micros(now),
                "reserved": right.reserved,
            },
        )
    return Redemption(
        use.order_id, use.coupon_id, right.campaign, use.code, use.discount, use.at, True
    )


def reverse(ledger: Ledger, order_id: str, *, now: datetime) -> list[Redemption] | None:
    """Undoes what the order redeemed: rights, limits and money are there again.

    Returns what was undone now, nothing where all of it was before; None for an unknown order.
    """
    with ledger.writing() as connection:
        wait_for_claims(connection)
        rows = connection.execute(_REVERSE, {"order_id": order_id, "now": to_micros(now)}).all()
        for row in rows:
            again = min(row.reserved, row.discount)
            held = (
                again
                and connection.execute(_RESERVE, {"send_id": row.send_id, "again": again}).first()
            )
            freed = row.discount - (again if held else 0)
            put_back(connection, redemption_purses(row.campaign, row.coupon, freed))
        if not rows and connection.execute(_KNOWN, {"order_id": order_id}).first() is None:
            return None
    return [
        Redemption(order_id, row.coupon, row.campaign, row.code, row.discount,
                   from_micros(row.at), True)
        for row in sorted(rows, key=lambda row: str(row.coupon))
    ]  # fmt: skip


def _before(connection: Connection, ledger: Ledger, use: Use) -> Redemption | Refused | None:
    row = connection.execute(
        _FIND, {"order_id": use.order_id, "coupon": use.coupon_id}
    ).first()  # fmt: skip
    if row is None:
        return None
    if row.reversed_at is not None:
        return Refused("order_reversed")
    person = row.person if use.member_id is None else ledger.identity.person(use.member_id)
    if (person, use.code, use.discount) != (row.person, row.code, row.discount):
        return Refused("order_differs")
    return Redemption(
        use.order_id, use.coupon_id, row.campaign, row.code, row.discount,
        from_micros(row.at), False,
    )  # fmt: skip


def _right(
    connection: Connection, ledger: Ledger, use: Use, issues: int | None
) -> _Right | Refused:
    person = None if use.member_id is None else ledger.identity.person(use.member_id)
    if use.code is not None:
        return _right_of_code(connection, use.code, person)
    if person is None:
        return Refused("code_needed")
    who = {"coupon": use.coupon_id, "person": person}
    sends = connection.execute(_SENDS, who).all()
    unused = [row for row in sends if not row.used]
    if unused:
        return _Right(person, unused[0].send_id, unused[0].campaign, unused[0].reserved)
    if connection.execute(_HAS_CODES, who).first() is not None:
        return Refused("code_needed")
    if sends or connection.execute(_UNSENT_USE, who).first() is not None:
        return Refused("already_used")
    issued = connection.execute(_ISSUED, {"purse": coupon_purse(use.coupon_id)}).scalar() or 0
    none_left = issues is not None and issued >= issues
    return Refused("issue_limit") if none_left else _Right(person)


def _right_of_code(connection: Connection, code: str, person: str | None) -> _Right | Refused:
    row = connection.execute(_CODE, {"code": code}).first()
    if row is None:
        return Refused("unknown_code")
    if row.send_id is None:
        return Refused("code_not_sent")
    if person not in (None, row.person):
        return Refused("code_of_another")
    if row.used:
        return Refused("already_used")
    return _Right(row.person, row.send_id, row.campaign, row.reserved)


def _open_purses(
    connection: Connection, coupon: str, campaign: str | None, limit: int | None
) -> None:
    """A limit that the shop changed counts from now on, but never below what was redeemed."""
    cap = UNLIMITED if limit is None else limit
    connection.execute(_LIMIT, {"purse": redeemed_purse(coupon), "cap": cap})
    if campaign is not None:
        connection.execute(_OPEN, {"purse": discount_purse(campaign), "cap": UNLIMITED})


_OPEN = text(
    "INSERT INTO purse (purse, live, used, cap) VALUES (:purse, 1, 0, :cap) ON CONFLICT DO NOTHING"
)
_LIMIT = text(
    "INSERT INTO purse (purse, live, used, cap) VALUES (:purse, 1, 0, :cap)"
    " ON CONFLICT (purse) DO UPDATE SET"
    " cap = CASE WHEN purse.used > excluded.cap THEN purse.used ELSE excluded.cap END"
)
_INSERT = text(
    "INSERT INTO redemption (order_id, coupon, person, send_id, campaign, code, discount, at,"
    " recorded_at, reserved) VALUES (:order_id, :coupon, :person, :send_id, :campaign, :code,"
    " :discount, :at, :now, :reserved)"
)
_REVERSE = text(
    "UPDATE redemption SET reversed_at = :now WHERE order_id = :order_id AND reversed_at IS NULL"
    " RETURNING coupon, campaign, code, discount, at, send_id, reserved"
)
_UNRESERVE = text("UPDATE send SET reserved = 0 WHERE send_id = :send_id AND state <> 'refused'")
_RESERVE = text(
    "UPDATE send SET reserved = :again WHERE send_id = :send_id"
    " AND state <> 'refused' AND released = 0 RETURNING send_id"
)
_KNOWN = text("SELECT 1 FROM redemption WHERE order_id = :order_id")
_FIND = text("SELECT * FROM redemption WHERE order_id = :order_id AND coupon = :coupon")
_HAS_CODES = text("SELECT 1 FROM pool WHERE coupon = :coupon")
_USED = (
    "EXISTS (SELECT 1 FROM redemption r WHERE r.coupon = s.coupon AND r.person = s.person"
    " AND r.send_id = s.send_id AND r.reversed_at IS NULL) AS used"
)
_SENDS = text(
    f"SELECT s.send_id, s.campaign, s.reserved, {_USED} FROM send s WHERE s.person = :person"
    " AND s.coupon = :coupon AND s.ghost = 0 AND s.released = 0 AND s.state <> 'refused'"
    " AND NOT EXISTS (SELECT 1 FROM code c WHERE c.send_id = s.send_id) ORDER BY s.at DESC"
)
_UNSENT_USE = text(
    "SELECT 1 FROM redemption WHERE coupon = :coupon AND person = :person AND send_id = ''"
    " AND reversed_at IS NULL"
)
_ISSUED = text("SELECT used FROM purse WHERE purse = :purse")
_CODE = text(
    f"SELECT s.send_id, s.campaign, s.reserved, s.person, {_USED} FROM code c LEFT JOIN send s"
    " ON s.send_id = c.send_id AND s.ghost = 0 AND s.state <> 'refused' WHERE c.code = :code"
)
_SENT_TO = text(
    "SELECT (SELECT p.member_id FROM contact_point p WHERE p.person = s.person"
    " AND p.member_id IS NOT NULL ORDER BY p.at DESC, p.seq DESC LIMIT 1)"
    " FROM code c JOIN send s ON s.send_id = c.send_id AND s.ghost = 0 AND s.state <> 'refused'"
    " WHERE c.code = :code"
)
