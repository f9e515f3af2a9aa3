"""What is held out for a test, and, in the same way, before it, for the blend to learn from.

By date: what members with a past bought in a horizon. By last order: each member's next order.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from recsys.history import History
from training.config import TrainingSettings
from training.evidence import Pairs
from training.orders import Orders, orders
from training.shop import Past, Shop
from training.sparse import distinct


class SplitName(StrEnum):
    """The ways to hold out, by their names on the command line."""

    DATE = "date"
    LAST_BASKET = "last-basket"


@dataclass(frozen=True, slots=True)
class Window:
    """A past, and what its members bought of the catalogue in what was held out."""

    past: Past
    truth: Pairs


class Split(Protocol):
    """Cuts a shop into windows."""

    @property
    def shop(self) -> Shop:
        """Whose log is cut."""
        ...

    def window(self, level: int) -> Window:
        """0 is the test; 1, 2, … lie before it, each a test of what the one after it knows."""
        ...

    def instants(self) -> NDArray[np.float64]:
        """shape (members,): the day from which on the test holds out."""
        ...


@dataclass(frozen=True, slots=True)
class ByDate:
    """Level n holds out the horizon that starts n horizons before a day."""

    shop: Shop
    day: float
    settings: TrainingSettings

    def window(self, level: int) -> Window:
        """See `Split`."""
        horizon = self.settings.horizon_days
        past = self.shop.past(self.day - level * horizon, min_support=self.settings.min_support)
        return Window(past, bought_pairs(self.shop, past, horizon))

    def instants(self) -> NDArray[np.float64]:
        """See `Split`."""
        return np.full(len(self.shop.member_ids), self.day)


@dataclass(frozen=True, slots=True)
class ByLastOrder:
    """Level 0 holds out the last order before a day of each member who has two; level n does the
    same to what level n - 1 leaves. The past is everything but what is held out, whoever bought
    it when, as next-basket papers have it; but a member's clock stands at its own order."""

    shop: Shop
    end: float
    """days since 1970: what comes later does not exist"""
    settings: TrainingSettings

    def window(self, level: int) -> Window:
        """See `Split`."""
        instants = np.full(len(self.shop.member_ids), self.end)
        for _ in range(level + 1):
            known = self.shop.known_before(instants).purchases()
            found = orders(known)
            instants = _last(found, otherwise=instants)
        past = self.shop.aligned(instants, self.end, min_support=self.settings.min_support)
        held = (found.lines == found.latest()[known.members]) & (found.counts > 1)[known.members]
        return Window(past, _distinct_pairs(known.where(held), past))

    def instants(self) -> NDArray[np.float64]:
        """See `Split`."""
        everybody = np.full(len(self.shop.member_ids), self.end)
        return _last(orders(self.shop.known_before(everybody).purchases()), otherwise=everybody)


def bought_pairs(shop: Shop, past: Past, horizon_days: float) -> Pairs:
    """What members with a history bought of the catalogue in the horizon after a past."""
    later, end = shop.history, past.day + horizon_days
    # what a login later than the horizon claimed does not count
    inside = (later.days >= past.day) & (later.days < end) & (shop.known < end)
    return _distinct_pairs(later.where(inside).purchases(), past)


def _last(found: Orders, *, otherwise: NDArray[np.float64]) -> NDArray[np.float64]:
    """shape (members,): when the last of several orders began."""
    starts = np.append(found.starts, np.inf)[found.latest()]
    return np.where(found.counts > 1, starts, otherwise)


def _distinct_pairs(bought: History, past: Past) -> Pairs:
    """The catalogue's products in some lines of members who have a past."""
    bought = bought.where(past.catalogue[bought.products])
    keys = distinct(bought.members.astype(np.int64) * past.n_products + bought.products)
    members = (keys // past.n_products).astype(np.int32)
    known = np.diff(past.history.offsets)[members] > 0
    products = (keys % past.n_products).astype(np.int32)
    return Pairs(members[known], products[known])
