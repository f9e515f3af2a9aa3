"""Recomputes from rows alone that no code was given twice and no right was used twice."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select

from campaigns.breach import Breach
from campaigns.ledger.tables import code, redemption


def codes_and_redemptions(connection: Connection, pushes: Sequence[Row[Any]]) -> Iterator[Breach]:
    """`pushes`: the sends that may have reached somebody."""
    sends = {row.send_id: row for row in pushes}
    codes = {row.code: row for row in connection.execute(select(code))}
    holders: dict[str, str] = {}
    for row in codes.values():
        if row.send_id is None:
            continue
        if row.send_id in holders:
            yield Breach("codes", f"send {row.send_id} has two codes")
        holders[row.send_id] = row.code
        if row.send_id not in sends or sends[row.send_id].coupon != row.coupon:
            yield Breach("codes", f"a code of coupon {row.coupon} is at no send of it")
    used: set[tuple[str, str, str]] = set()
    live = select(redemption).where(redemption.c.reversed_at.is_(None))
    for row in connection.execute(live.order_by(redemption.c.recorded_at)):
        order = f"order {row.order_id} with coupon {row.coupon}"
        right = (row.coupon, row.person, row.send_id)
        if right in used:
            yield Breach("redemptions", f"{order}: the right was used before")
        used.add(right)
        if row.send_id:
            sent = sends.get(row.send_id)
            if sent is None or right[:2] != (sent.coupon, sent.person):
                yield Breach("redemptions", f"{order}: it was not sent to them")
        if row.code != holders.get(row.send_id):
            yield Breach("redemptions", f"{order}: the code is not that of the send")
