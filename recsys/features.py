"""The features of a member-product pair; one definition for training and for serving.

Static features change only with a new model. Clock features change with `now`, session
features with the member's latest events: serving computes both at the request.
"""

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from recsys.history import KINDS, PURCHASE

Floats = NDArray[np.float32]

MEMBER = ("member_orders", "member_pace", "member_idle")
"""what does not depend on the product: it calibrates, and orders nothing but repeats among news"""
STATIC = (
    "orders_with",
    "decayed_20",
    "decayed_60",
    "decayed_180",
    "faded_5",
    "latest_5",
    "idle_orders",
    "share_of_orders",
    "rebought",
    "product_interval",
    "popular_30",
    "popular_7",
    "trend",
    "first_30",
    "first_7",
    "first_share",
    "segment",
    "together",
    "together_latest",
    "similar",
    "neighbours",
    "taste",
    "category_leaf",
    "category_parent",
    "category_root",
    "brand",
    "loyalty",
    "category_idle",
    "share_of_leaf",
    "share_of_parent",
    "promoted",
    *MEMBER,
)
DUE_KNOTS = np.array([-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0], np.float32)
"""log2(age / interval): 0 is due today, 1 is twice the usual interval ago"""
CLOCK = ("age", "interval", *(f"due_{knot:+.0f}" for knot in DUE_KNOTS[1:]))
SESSION = ("session", "session_leaf")
NAMES = STATIC + CLOCK + SESSION

SESSION_EVENTS = 20
"""A session is the member's latest events, this many at most."""
SESSION_DECAY_DAYS = 1.0
SESSION_SCALE = np.float32(10)
"""a cosine of 0.1 counts as one order does elsewhere"""
LEAST_DAYS = np.float32(0.5)
"""no age and no interval is shorter"""
SEARCHED = len(KINDS)
"""a kind beside `history.KINDS`: a product that a search of the session has found"""
KIND_WEIGHTS = np.array([0.5, 0.6, 0.0, 0.8, 1.0, -1.0, 0.5], np.float32)
"""Interest that one event shows, by `history.KINDS`, then SEARCHED: a view says half of what a
purchase says. What a search has found was seen: a prior, for no log we know holds searches."""
BROWSED = np.array([True, True, False, True, False, False, True])
"""likewise, which kinds show interest in the product's category"""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What is known of some pairs, as plain numbers. Every array has shape (pairs,)."""

    count: Floats
    """orders of the member with the product; 0 makes the pair `new`, else it is `repeat`"""
    decayed_20: Floats
    decayed_60: Floats
    decayed_180: Floats
    """those orders weighted exp(-age / days)"""
    faded_5: Floats
    """those orders weighted exp(-the member's later orders / 5)"""
    latest_5: Floats
    """how many of the member's latest five orders have it"""
    idle_orders: Floats
    """the member's orders since the last one with it"""
    last_day: Floats
    """whole UTC day of the latest of them"""
    interval: Floats
    """days from one such order to the next, shrunk to the product's"""
    rebought: Floats
    """share of the product's buyers who bought it again"""
    product_interval: Floats
    popular_30: Floats
    popular_7: Floats
    """everybody's orders with the product in so many days"""
    first_30: Floats
    first_7: Floats
    """members who bought it for the first time in so many days"""
    first_leaf: Floats
    """the same in 30 days, of all products of its category"""
    segment: Floats
    """log of its share of the orders of the member's segment against that of everybody's"""
    together: Floats
    together_latest: Floats
    """from all orders, and from the latest ones alone"""
    similar: Floats
    neighbours: Floats
    taste: Floats
    """the scores of those sources"""
    category_leaf: Floats
    category_parent: Floats
    category_root: Floats
    brand: Floats
    """the member's decayed orders of the product's category and brand"""
    category_idle: Floats
    """days since the member's last order in the product's category, at most a year"""
    leaf_orders: Floats
    parent_orders: Floats
    """everybody's orders in the product's category in 30 days"""
    promoted: Floats
    """share of stores"""
    member_orders: Floats
    member_days: Floats
    """days since the member's first order"""
    member_idle: Floats
    """days since the latest"""
    session: Floats
    """what the latest events say of the product by what was bought together with theirs"""
    session_leaf: Floats
    """what they say of its category: see `session_interest`"""

    def take(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Evidence":
        """Some of the pairs."""
        return Evidence(*(getattr(self, field.name)[rows] for field in fields(self)))


def features(evidence: Evidence, now: float) -> Floats:
    """shape (pairs, len(NAMES)): everything, for training."""
    return np.hstack(
        (
            static(evidence),
            clock(now, evidence.last_day, evidence.interval) * (evidence.count > 0)[:, None],
            session(evidence.session, evidence.session_leaf),
        )
    )


def static(e: Evidence) -> Floats:
    """shape (pairs, len(STATIC)): what stays the same until the next model."""
    bought = e.count > 0
    month_of_week = e.popular_7 * np.float32(30 / 7)
    columns = (
        np.log1p(e.count),
        np.log1p(e.decayed_20),
        np.log1p(e.decayed_60),
        np.log1p(e.decayed_180),
        e.faded_5,
        e.latest_5,
        np.log1p(e.idle_orders),
        np.where(bought, np.log((e.count + 0.5) / (e.member_orders + 1)), 0),
        e.rebought,
        np.log(e.product_interval),
        np.log1p(e.popular_30),
        np.log1p(e.popular_7),
        np.log((month_of_week + 5) / (e.popular_30 + 5)),
        np.log1p(e.first_30),
        np.log1p(e.first_7),
        np.log((e.first_30 + 0.5) / (e.first_leaf + 10)),
        e.segment,
        np.log1p(e.together),
        np.log1p(e.together_latest),
        np.log1p(e.similar),
        e.neighbours,
        e.taste,
        np.log1p(e.category_leaf),
        np.log1p(e.category_parent),
        np.log1p(e.category_root),
        np.log1p(e.brand),
        np.log((e.decayed_60 + 0.1) / (e.category_leaf + 0.5)),
        np.log1p(e.category_idle),
        np.log((e.popular_30 + 0.5) / (e.leaf_orders + 10)),
        np.log((e.popular_30 + 0.5) / (e.parent_orders + 10)),
        e.promoted,
        *member(e.member_orders, e.member_days, e.member_idle),
    )
    return np.stack(columns, axis=1, dtype=np.float32)


def member(orders: Floats, days: Floats, idle: Floats) -> tuple[Floats, Floats, Floats]:
    """The columns of MEMBER: orders so far, their pace, and the time since the latest."""
    return np.log1p(orders), np.log((orders + 1) / (days + 7)), np.log1p(idle)


def clock(now: float, last_day: Floats, interval: Floats) -> Floats:
    """shape (pairs, len(CLOCK)): where each bought product stands in its interval.

    `now` in days since 1970. Whole days: a purchase counts from the midnight before it.
    """
    age, interval = clock_inputs(now, last_day, interval)
    # a row of the basis sums to 1, which is the bias: without its first column it is not
    due = hat_basis(np.log2(age / interval), DUE_KNOTS)[:, 1:]
    return np.column_stack((np.log1p(age), np.log(interval), due))


def clock_inputs(now: float, last_day: Floats, interval: Floats) -> tuple[Floats, Floats]:
    """Age and interval in days."""
    age = np.maximum(np.float32(now) - last_day, LEAST_DAYS)
    return age, np.maximum(interval, LEAST_DAYS)


def session(similarity: Floats, leaf: Floats) -> Floats:
    """shape (pairs, len(SESSION)): of Evidence's two."""
    columns = np.log1p(np.maximum(similarity, 0) * SESSION_SCALE), np.log1p(leaf)
    return np.stack(columns, axis=1, dtype=np.float32)


def session_weights(now: float, days: NDArray[np.float64], kinds: NDArray[np.uint8]) -> Floats:
    """shape (events,): how much each of a member's latest events still says at `now`."""
    age = np.maximum(now - days, 0).astype(np.float32)
    weights: Floats = KIND_WEIGHTS[kinds] * np.exp(-age / np.float32(SESSION_DECAY_DAYS))
    return weights


def session_interest(
    weights: Floats, kinds: NDArray[np.uint8], groups: NDArray[np.integer]
) -> Floats:
    """shape (events,): how much of each event's weight speaks for its product's category.

    groups: equal for one member's events in one category; -1 has none. Events are in the order of
    time: a purchase in a category ends the interest that events before it have shown.
    """
    numbers, group = np.unique(groups, return_inverse=True)
    bought = np.flatnonzero(kinds == PURCHASE)
    last = np.full(len(numbers), -1)
    np.maximum.at(last, group[bought], bought)
    still = BROWSED[kinds] & (groups >= 0) & (np.arange(len(kinds)) > last[group])
    return np.where(still, weights, np.float32(0))


def hat_basis(values: Floats, knots: Floats) -> Floats:
    """shape (values, knots): piecewise-linear interpolation weights, each row sums to 1.

    With them a linear blend learns a curve; outside the knots the curve is level.
    """
    values = np.clip(values, knots[0], knots[-1])
    left = np.clip(np.searchsorted(knots, values, side="right") - 1, 0, len(knots) - 2)
    part = (values - knots[left]) / (knots[left + 1] - knots[left])
    basis = np.zeros((len(values), len(knots)), np.float32)
    rows = np.arange(len(values))
    basis[rows, left] = 1 - part
    basis[rows, left + 1] = part
    return basis
