"""What a coupon is worth for a member, and to the shop."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.coupons import Coupon, Terms
from recsys.features import Floats
from recsys.model import Model
from recsys.scoring import sigmoid
from recsys.value import Gained, assumed, assumption, profit

MOST_LIKELY = 1 - 1e-6
"""no purchase is certain; log1p(-1) would be -inf"""


class Worth(NamedTuple):
    """For some members and all coupons of the model."""

    probability: Floats
    """shape (members, coupons): the member redeems it, if pushed with it"""
    value: Floats
    """shape (members, coupons): expected incremental profit in money"""
    discount: Floats
    """shape (members, coupons): money off the member's mean order"""
    basis: str
    """what says which orders come because of a push, in words"""


def affinity(model: Model, members: NDArray[np.int32], *, now: float) -> Floats:
    """shape (members, coupons): the chance that a member buys something in the scope.

    The chance to come, times that of buying there: purchases of a base list's products are
    taken as independent, 1 - prod(1 - p).
    """
    missed = np.zeros((len(members), len(model.coupons)), np.float64)
    for at, row in enumerate(members):
        entries = slice(int(model.base.offsets[row]), int(model.base.offsets[row + 1]))
        products = model.base.products[entries]
        chance = np.minimum(sigmoid(model.base_logits(entries, now)), MOST_LIKELY)
        starts, stops = model.scope_offsets[products], model.scope_offsets[products + 1]
        counts = stops - starts
        within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
        coupons = model.scope_coupons[np.repeat(starts, counts) + within]
        none = np.repeat(np.log1p(-chance), counts)
        missed[at] = np.bincount(coupons, none, minlength=len(model.coupons))
    visit = model.visit[members].astype(np.float64)[:, None]
    return (-np.expm1(missed) * visit).astype(np.float32)


def pushed(
    model: Model, members: NDArray[np.int32], terms: Terms, *, now: float
) -> tuple[Floats, Gained]:
    """shape (members, coupons): the chance that a member who is pushed with a coupon redeems it, as
    it was learned from redemptions; an assumed share of those who buy in its scope where none
    were. And the orders that come of it, as holdouts have shown; as assumed where none have."""
    if model.redeeming is None:
        chance = affinity(model, members, now=now) * np.float32(terms.redemption_rate)
        return chance, assumed(chance, terms)
    table = model.redeeming.table(members, now=now)
    chance = model.redeeming.chances(table)
    if model.measured is None:
        return chance, assumed(chance, terms)
    return chance, model.measured.gained(table, chance)


def basis(model: Model, terms: Terms) -> str:
    """What says which orders come because of a push, in words."""
    if model.redeeming is None or model.measured is None:
        return assumption(terms.incremental_share)
    return model.measured.basis


def worth(
    model: Model,
    members: NDArray[np.int32],
    terms: Terms,
    *,
    now: float,
) -> Worth:
    """Rank coupons for members by expected incremental profit, at the member's mean order."""
    probability, gained = pushed(model, members, terms, now=now)
    order = np.asarray(model.order_amount[members])[:, None]
    discount = _discount(model.coupons, order, terms)
    cost = np.array([coupon.cost or 0.0 for coupon in model.coupons], np.float32)
    value = profit(
        gained,
        probability,
        margin=np.float32(terms.margin_rate) * order,
        discount=discount,
        cost=cost,
    )
    return Worth(probability, value.astype(np.float32), discount, gained.basis)


def most_off(coupon: Coupon, terms: Terms) -> float:
    """Money off at most, whatever is ordered; inf for a percent coupon without `max_discount`."""
    if coupon.value is None or coupon.kind not in ("percent", "amount"):
        return terms.coupon_value
    if coupon.kind == "amount":
        return coupon.value
    return float("inf") if coupon.max_discount is None else coupon.max_discount


def _discount(coupons: Sequence[Coupon], order: Floats, terms: Terms) -> Floats:
    """shape (members, coupons): money off one order, of `order` with shape (members, 1)."""
    most = np.array([most_off(coupon, terms) for coupon in coupons], np.float32)
    share = np.array([_share(coupon) for coupon in coupons], np.float32)
    off: Floats = np.where(np.isnan(share), most, np.minimum(order * share, most))
    return off


def _share(coupon: Coupon) -> float:
    """Of an order; NaN where the coupon takes an amount off."""
    if coupon.value is None or coupon.kind != "percent":
        return float("nan")
    return coupon.value / 100
