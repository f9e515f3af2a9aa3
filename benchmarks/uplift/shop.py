"""A shop made on real households, whose answer to every push is known: what a plan truly earns.

Stated once, and not fitted to any learner:
- The chance of an order without a push is that of the real week (`households`).
- A push moves its logit by a coupon's own mean, and by the household's leaning: FORMS random forms
  (a bend, a step or a product of two) of the known features, and HIDDEN_SHARE of the variance from
  what no learner sees: as many forms of hidden features, and something of each household's own.
  So some orders are lost, and sure buyers take the discount all the same.
- Who orders after a push redeems by a chance of their own, from thrift, a hidden habit and luck.
- History is the weeks before: each week one coupon by lot for each household, HELD_OUT of them held
  out. An order is one draw with its chance: that is the noise.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from benchmarks.uplift.households import HIDDEN, KNOWN, Households

Doubles = NDArray[np.float64]

FORMS = 8
HIDDEN_SHARE = 0.2
LEANING = 0.5
"""standard deviation of the logit's move between households and coupons"""
MOVES = (0.35, 0.65)
"""the coupons' mean moves lie between"""
HELD_OUT = 0.2
MARGIN_RATE = 0.25
FACES = (1.0, 1.5, 2.0, 3.0)
"""money off an order, dealt to the coupons by lot"""
CHANNEL_COST = 0.05


@dataclass(frozen=True, slots=True)
class Shop:
    """shape (weeks, households, coupons) throughout, but for `face`."""

    features: Doubles
    """(…, features): all that is known before a push"""
    order_amount: Doubles
    """money: a household's mean order, as is known"""
    anyway: Doubles
    """chance of an order in the week without a push"""
    pushed: Doubles
    """the same with a push"""
    redeemed: Doubles
    """chance of an order that redeems, with a push"""
    face: Doubles
    """shape (coupons,): money off"""

    @property
    def value(self) -> Doubles:
        """True expected profit of a push."""
        gained = MARGIN_RATE * self.order_amount * (self.pushed - self.anyway)
        return gained - self.redeemed * self.face - CHANNEL_COST


@dataclass(frozen=True, slots=True)
class Drawn:
    """A history of pushes by lot; shape (rows,) but for features."""

    features: Doubles
    """shape (rows, features)"""
    pushed: NDArray[np.bool_]
    ordered: NDArray[np.bool_]
    redeemed: NDArray[np.bool_]


def shop(real: Households, rng: np.random.Generator) -> Shop:
    """One shop; everything that is not real is drawn by `rng`."""
    coupons = real.known.shape[2]
    face = rng.permutation(np.resize(FACES, coupons))
    known, hidden = _comparable(real.known), _comparable(real.hidden)
    own = rng.normal(size=(1, known.shape[1], 1))  # of a household, for all weeks
    unseen = _comparable(_forms(hidden, rng)[..., None])[..., 0] + own
    leaning = np.sqrt(1 - HIDDEN_SHARE) * _unit(_forms(known, rng)) + np.sqrt(HIDDEN_SHARE) * _unit(
        unseen
    )
    move = rng.uniform(*MOVES, coupons) + LEANING * leaning
    pushed = expit(logit(real.anyway) + move)
    thrift, habit = known[..., KNOWN.index("saved")], hidden[..., HIDDEN.index("coupons_used")]
    luck = rng.normal(size=(1, known.shape[1], 1))
    redeems = expit(0.5 * thrift + 0.3 * habit + 0.5 * luck)
    coupon = np.broadcast_to(np.eye(coupons), (*known.shape[:3], coupons))
    worth = np.broadcast_to(face, known.shape[:3])[..., None]
    return Shop(
        np.concatenate((real.known, worth, coupon), axis=-1),
        real.order_amount,
        real.anyway,
        pushed,
        pushed * redeems,
        face,
    )


def names(of: Shop) -> tuple[str, ...]:
    """Of its features."""
    return (*KNOWN, "face", *(f"coupon_{at}" for at in range(len(of.face))))


def history(of: Shop, rng: np.random.Generator) -> Drawn:
    """All weeks but the last: each household is dealt one coupon, some are held out of it."""
    weeks, members, coupons = of.anyway[:-1].shape
    week, member = np.divmod(np.arange(weeks * members), members)
    dealt = week, member, rng.integers(coupons, size=weeks * members)
    pushed = rng.random(len(week)) >= HELD_OUT
    ordered = rng.random(len(week)) < np.where(pushed, of.pushed[dealt], of.anyway[dealt])
    redeems = rng.random(len(week)) < of.redeemed[dealt] / of.pushed[dealt]
    return Drawn(of.features[dealt], pushed, ordered, pushed & ordered & redeems)


def _comparable(table: Doubles) -> Doubles:
    """Each feature with mean 0 and deviation 1, no value further out than 3."""
    flat = table.reshape(-1, table.shape[-1])
    even: Doubles = np.clip((table - flat.mean(axis=0)) / (flat.std(axis=0) + 1e-9), -3, 3)
    return even


def _unit(values: Doubles) -> Doubles:
    even: Doubles = (values - values.mean()) / values.std()
    return even


def _forms(table: Doubles, rng: np.random.Generator) -> Doubles:
    """A sum of random forms of a table's last axis."""
    total = np.zeros(table.shape[:-1])
    for _ in range(FORMS):
        one, other = (table[..., rng.integers(table.shape[-1])] for _ in range(2))
        kind = rng.integers(3)
        if kind == 0:
            form = np.tanh(rng.uniform(0.5, 2.0) * one)
        elif kind == 1:
            form = (one > rng.normal()).astype(np.float64)
        else:
            form = one * other
        spread = form.std()
        total += rng.normal() * (form - form.mean()) / spread if spread > 0 else 0.0
    return total
