"""Small instances of many shapes, so that no allocator is tuned to one generator."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from campaigns.allocation.problem import Choices, Limit, Minimum

SHAPES = ("apart", "by cost", "by member", "mostly bad", "rounded", "few large", "alike", "waiting")


class Instance(NamedTuple):
    """What one plan is made from."""

    shape: str
    choices: Choices
    offers: int
    limits: list[Limit]
    minimums: list[Minimum]


def instance(
    seed: int,
    *,
    members: int = 500,
    coupons: int = 20,
    campaigns: int = 4,
    discounts: bool = False,
) -> Instance:
    """Budgets, coupon limits and minimums at random parts of what members would choose.

    discounts: campaigns are limited in what their coupons may take off orders, too.
    """
    rng = np.random.default_rng(seed)
    shape = SHAPES[seed % len(SHAPES)]
    value, cost = _table(shape, members, coupons, rng)
    eligible = rng.random((members, coupons)) < rng.uniform(0.3, 1)
    campaign = rng.integers(0, campaigns, coupons)
    wanted = np.where(eligible, value, 0.0)
    best = wanted.argmax(axis=1)
    glad = wanted.max(axis=1) > 0
    pushes = np.bincount(best[glad], minlength=coupons)
    spent = np.bincount(best[glad], cost[glad, best[glad]], coupons)
    every = np.arange(coupons)
    limits = [Limit("budget", int(spent.sum() * rng.uniform(0.1, 0.7)), every, money=True)]
    minimums = []
    for one in range(campaigns):
        those = np.flatnonzero(campaign == one)
        own = int(spent[those].sum() * rng.uniform(0.2, 0.9))
        limits.append(Limit(f"budget {one}", own, those, money=True))
        if rng.random() < 0.3:
            most = int(pushes[those].sum() * rng.uniform(0.3, 0.9))
            limits.append(Limit(f"sends {one}", most, those))
        if rng.random() < 0.6:
            least = int(pushes[those].sum() * rng.uniform(0.1, 1.2)) + 1
            minimums.append(Minimum(f"minimum {one}", least, those))
    limits += [
        Limit(f"coupon {one}", int(pushes[one] * rng.uniform(0.2, 0.9)), [one])
        for one in range(coupons)
        if rng.random() < 0.6
    ]
    if discounts:
        off = rng.integers(0, 40, coupons) * rng.choice([1, 25])
        for one in range(campaigns):
            those = np.flatnonzero(campaign == one)
            most = int((pushes * off)[those].sum() * rng.uniform(0.2, 0.9))
            limits.append(Limit(f"discounts {one}", most, those, amounts=off[those]))
    offers = coupons
    if shape == "waiting":  # some keep the slot for a campaign within the week
        offers = coupons + 1
        later = np.abs(rng.normal(0.5, 0.5, members))
        value, cost = np.column_stack([value, later]), np.column_stack([cost, np.zeros(members)])
        eligible = np.column_stack([eligible, rng.random(members) < 0.4])
    return Instance(shape, table_choices(value, cost, eligible), offers, limits, minimums)


def table_choices(
    value: NDArray[np.floating], cost: NDArray[np.generic], eligible: NDArray[np.bool_]
) -> Choices:
    """Choices from tables of shape (members, offers)."""
    offer = np.broadcast_to(np.arange(value.shape[1]), value.shape)
    return Choices(
        np.concatenate([[0], np.cumsum(eligible.sum(axis=1))]).astype(np.int64),
        value[eligible].astype(np.float32),
        cost[eligible].astype(np.int32),
        offer[eligible].astype(np.uint16),
    )


def _table(
    shape: str, members: int, coupons: int, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values in money and costs in minor units, each of shape (members, coupons)."""
    size = (members, coupons)
    if shape == "by cost":
        cost = rng.integers(50, 500, size).astype(np.float64)
        return cost / 100 * rng.uniform(0.8, 1.2, size) + rng.normal(0, 0.2, size), cost
    if shape == "by member":
        person, coupon = rng.gamma(2, 1, (members, 1)), rng.gamma(1, 1, (1, coupons))
        flat = np.broadcast_to(rng.integers(0, 4, (1, coupons)) * 100.0, size)
        return person * coupon * rng.lognormal(0, 0.3, size) - 0.3, flat
    if shape == "rounded":
        flat = np.broadcast_to(rng.integers(1, 5, (1, coupons)) * 50.0, size)
        return np.round(rng.normal(1, 1, size), 1), flat
    if shape == "few large":
        return rng.pareto(1.5, size), rng.integers(10, 1000, size).astype(np.float64)
    if shape == "alike":  # five kinds of members, equal within a kind
        kind = rng.integers(0, 5, members)
        costs = rng.integers(1, 300, coupons).astype(np.float64)
        return rng.normal(0.5, 1, (5, coupons))[kind], np.broadcast_to(costs, size)
    centre = {"apart": 1.0, "mostly bad": -0.5, "waiting": 0.5}[shape]
    return rng.normal(centre, 1, size), rng.integers(1, 500, size).astype(np.float64)
