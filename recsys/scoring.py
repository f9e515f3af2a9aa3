"""The blend: two calibrated logistic models, one for repeats and one for new products.

A product's score is a logit; a feature's share of it is the reason.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys import features
from recsys.features import Floats

REASONS = {
    "again": (
        "orders_with", "decayed_20", "decayed_60", "decayed_180", "faded_5", "latest_5",
        "idle_orders", "share_of_orders", "loyalty", "rebought", "product_interval",
        *features.CLOCK,
    ),
    "together": ("together", "together_latest", "session"),
    "taste": ("similar", "neighbours", "taste"),
    "category": (
        "category_leaf", "category_parent", "category_root", "category_idle", "brand",
        "session_leaf",
    ),
    "promoted": ("promoted",),
    "popular": (
        "popular_30", "popular_7", "trend", "first_30", "first_7", "first_share", "segment",
        "share_of_leaf", "share_of_parent", *features.MEMBER,
    ),
}  # fmt: skip
"""Which features speak for which reason. Every feature stands in one."""
REASON_CODES = tuple(REASONS)


@dataclass(frozen=True, slots=True)
class Weights:
    """One logistic model over `features.NAMES`."""

    bias: float
    weights: Floats
    """shape (len(NAMES),)"""
    means: Floats
    """shape (len(NAMES),): the average pair, against which reasons are counted"""

    def part(self, names: tuple[str, ...]) -> Floats:
        """The weights of some features, in the order of `names`."""
        return self.weights[[features.NAMES.index(name) for name in names]]

    def logits(self, table: Floats) -> Floats:
        """shape (pairs,)"""
        return table @ self.weights + np.float32(self.bias)


@dataclass(frozen=True, slots=True)
class Blend:
    """Two models, so that each calibrates its own kind of pair."""

    repeat: Weights
    new: Weights

    def logits(self, table: Floats, repeated: NDArray[np.bool_]) -> Floats:
        """shape (pairs,): of `features.features`, by the model that each pair falls under."""
        return np.where(repeated, self.repeat.logits(table), self.new.logits(table))

    def static_logits(self, table: Floats, repeated: NDArray[np.bool_]) -> Floats:
        """shape (pairs,): the part of `features.static`, bias included."""
        of_repeat = table @ self.repeat.part(features.STATIC) + np.float32(self.repeat.bias)
        of_new = table @ self.new.part(features.STATIC) + np.float32(self.new.bias)
        return np.where(repeated, of_repeat, of_new)

    def reasons(self, table: Floats, repeated: NDArray[np.bool_]) -> NDArray[np.uint8]:
        """shape (pairs,): index into REASON_CODES of what speaks most for each pair,
        compared with the average pair."""
        shares = np.empty((len(REASON_CODES), len(table)), np.float32)
        for at, names in enumerate(REASONS.values()):
            columns = [features.NAMES.index(name) for name in names]
            of_repeat = (table[:, columns] - self.repeat.means[columns]) @ self.repeat.part(names)
            of_new = (table[:, columns] - self.new.means[columns]) @ self.new.part(names)
            shares[at] = np.where(repeated, of_repeat, of_new)
        # "again" is true of bought products only
        shares[REASON_CODES.index("again"), ~repeated] = -np.inf
        best: NDArray[np.uint8] = shares.argmax(axis=0).astype(np.uint8)
        return best


def sigmoid(logits: Floats) -> Floats:
    """Probability of a purchase within the horizon."""
    chance = 1 / (1 + np.exp(-logits))
    return chance.astype(np.float32)


@dataclass(frozen=True, slots=True)
class ClockCurve:
    """`features.clock` times its weights, without the basis in between: a sum of hats is the
    curve through their weights."""

    of_age: np.float32
    of_interval: np.float32
    at_knots: Floats
    """shape (DUE_KNOTS,)"""

    @classmethod
    def of(cls, blend: Blend) -> "ClockCurve":
        """The curve of bought products."""
        of_age, of_interval, *at_knots = blend.repeat.part(features.CLOCK)
        return cls(of_age, of_interval, np.array([0, *at_knots], np.float32))

    def logits(self, now: float, last_day: Floats, interval: Floats) -> Floats:
        """shape (pairs,): the clock's part of the logit."""
        age, interval = features.clock_inputs(now, last_day, interval)
        due = np.interp(np.log2(age / interval), features.DUE_KNOTS, self.at_knots)
        logits: Floats = (
            self.of_age * np.log1p(age) + self.of_interval * np.log(interval) + due
        ).astype(np.float32)
        return logits
