"""A member's past at an instant: the one place where "known before" is decided.

Everything is a plain array with member offsets, so that training passes many members at
once and serving passes one.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

KINDS = ("view", "click", "search", "add_to_cart", "purchase", "return")
PURCHASE = KINDS.index("purchase")


@dataclass(frozen=True, slots=True)
class History:
    """What members did, by member, then time. Days are UTC days since 1970, with fractions."""

    offsets: NDArray[np.int64]
    """shape (members + 1,)"""
    products: NDArray[np.int32]
    """shape (rows,): product rows; one row for each product of an order"""
    days: NDArray[np.float64]
    orders: NDArray[np.int32]
    """shape (rows,): the order's number, unique over all members"""
    kinds: NDArray[np.uint8]
    """shape (rows,): index into KINDS"""
    amounts: NDArray[np.float32]
    """shape (rows,): paid for the line, 0 where unknown"""

    @property
    def members(self) -> NDArray[np.int32]:
        """The member row of each history row."""
        counts = np.diff(self.offsets)
        return np.repeat(np.arange(len(counts), dtype=np.int32), counts)

    def where(self, keep: NDArray[np.bool_]) -> "History":
        """The rows of a mask, members unchanged."""
        kept = np.concatenate(([0], np.cumsum(keep)))
        return History(
            kept[self.offsets],
            self.products[keep],
            self.days[keep],
            self.orders[keep],
            self.kinds[keep],
            self.amounts[keep],
        )

    def before(self, day: float) -> "History":
        """What had happened before an instant, that instant excluded."""
        return self.where(self.days < day)

    def purchases(self) -> "History":
        """The purchases alone."""
        return self.where(self.kinds == PURCHASE)


@dataclass(frozen=True, slots=True)
class Repeats:
    """Each member's distinct bought products, by member, then product row."""

    offsets: NDArray[np.int64]
    """shape (members + 1,)"""
    products: NDArray[np.int32]
    counts: NDArray[np.int32]
    """shape (pairs,): orders with that product"""
    first: NDArray[np.float64]
    last: NDArray[np.float64]
    """days of the first and of the latest of these orders"""
    starts: NDArray[np.int64]
    """shape (pairs,): where a pair's rows start in `by_pair`"""
    by_pair: NDArray[np.float64]
    """shape (rows,): the days of all purchases, pair by pair"""
    turns: NDArray[np.int32]
    """shape (rows,): likewise, the orders that the member has made since; 0 is the latest"""

    def decayed(self, now: float, days: float) -> NDArray[np.float32]:
        """shape (pairs,): orders weighted exp(-age / days)."""
        return self._sum(np.exp((self.by_pair - now) / days))

    def faded(self, orders: float) -> NDArray[np.float32]:
        """shape (pairs,): orders weighted exp(-later orders / orders)."""
        return self._sum(np.exp(self.turns / -orders))

    def since(self, day: float) -> NDArray[np.float32]:
        """shape (pairs,): orders at or after an instant."""
        return self._sum(self.by_pair >= day)

    def latest(self, orders: int) -> NDArray[np.float32]:
        """shape (pairs,): how many of the member's latest orders have the product."""
        return self._sum(self.turns < orders)

    @property
    def idle_turns(self) -> NDArray[np.int32]:
        """shape (pairs,): the member's orders since the last one with the product."""
        ends = np.append(self.starts[1:], len(self.turns))[: len(self.starts)]
        idle: NDArray[np.int32] = self.turns[ends - 1]
        return idle

    def _sum(self, rows: NDArray[np.generic]) -> NDArray[np.float32]:
        if not len(self.starts):
            return np.zeros(0, np.float32)
        return np.add.reduceat(rows.astype(np.float64), self.starts).astype(np.float32)

    def members(self) -> NDArray[np.int32]:
        """The member row of each pair."""
        counts = np.diff(self.offsets)
        return np.repeat(np.arange(len(counts), dtype=np.int32), counts)


def repeats(purchases: History, n_products: int) -> Repeats:
    """Fold purchases into member-product pairs."""
    members = purchases.members
    keys = members.astype(np.int64) * n_products + purchases.products
    order = np.argsort(keys, kind="stable")  # time order stays within a pair
    keys, days = keys[order], purchases.days[order]
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    ends = np.append(starts[1:], len(keys))[: len(starts)]
    owners = keys[starts] // n_products
    n_members = len(purchases.offsets) - 1
    return Repeats(
        np.concatenate(([0], np.cumsum(np.bincount(owners, minlength=n_members)))),
        (keys[starts] % n_products).astype(np.int32),
        (ends - starts).astype(np.int32),
        days[starts],
        days[ends - 1],
        starts,
        days,
        _turns(purchases)[order],
    )


def _turns(purchases: History) -> NDArray[np.int32]:
    """shape (rows,): the orders that each row's member made after it."""
    orders, offsets = purchases.orders, purchases.offsets
    opens = np.ones(len(orders), np.bool_)
    opens[1:] = orders[1:] != orders[:-1]
    opens[offsets[:-1][np.diff(offsets) > 0]] = True
    number = np.cumsum(opens, dtype=np.int32)
    last = number[offsets[1:][np.diff(offsets) > 0] - 1]
    return np.repeat(last, np.diff(offsets)[np.diff(offsets) > 0]) - number
