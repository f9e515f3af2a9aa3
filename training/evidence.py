"""Gathers what a past says about member-product pairs, as `recsys.features.Evidence`."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys import features
from recsys.features import Evidence, Floats
from recsys.history import KINDS, History
from training.shop import Past
from training.sources import Sources, popular
from training.sparse import cells, distinct, locate

BROWSING = [KINDS.index(kind) for kind in ("view", "click", "add_to_cart")]
BROWSING_DAYS = 30.0
DECAY_DAYS = 60.0
"""of category and brand affinity"""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Member-product pairs, by member, then product."""

    members: NDArray[np.int32]
    products: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Facts:
    """Tables over one past that every chunk of pairs looks into."""

    past: Past
    sources: Sources
    sessions: bool
    """whether the log holds enough browsing to speak of sessions"""
    decayed: dict[int, Floats]
    """by days; shape (repeats,)"""
    product_interval: Floats
    """shape (products,): days"""
    rebought: Floats
    """shape (products,)"""
    popular_30: Floats
    popular_7: Floats
    affinities: list["Affinity"]
    """leaf, parent and root category, then brand"""
    member_orders: Floats
    """shape (members,)"""
    member_days: Floats
    member_idle: Floats
    """shape (members,): days since the first and since the latest order, 0 where there is none"""


@dataclass(frozen=True, slots=True)
class Affinity:
    """Decayed orders of each member in each class of products."""

    classes: NDArray[np.int32]
    """shape (products,): -1 is no class"""
    orders: csr_matrix
    """shape (members, classes)"""
    popular_30: Floats
    """shape (classes,): everybody's orders in 30 days"""

    def of(self, pairs: Pairs) -> Floats:
        """shape (pairs,): the member's orders in the product's class."""
        return cells(self.orders, pairs.members, self.classes[pairs.products])

    def everybody(self, products: NDArray[np.int32]) -> Floats:
        """shape (products,): 0 for a product without a class."""
        return np.append(self.popular_30, np.float32(0))[self.classes[products]]


def facts(past: Past, sources: Sources, *, browsing_needed: int) -> Facts:
    """Fold a past into tables."""
    pairs = past.repeats
    decayed = {days: pairs.decayed(past.day, days) for days in (20, 60, 180)}
    popular_30 = popular.order_counts(past, days=30)
    interval, rebought = _intervals(past)
    offsets = past.purchases.offsets
    started = np.diff(offsets) > 0
    first, latest = np.full((2, past.n_members), past.day)
    first[started] = past.purchases.days[offsets[:-1][started]]
    latest[started] = past.purchases.days[offsets[1:][started] - 1]
    return Facts(
        past=past,
        sources=sources,
        sessions=_browsing(past.history, past.day) >= browsing_needed,
        decayed=decayed,
        product_interval=interval,
        rebought=rebought,
        popular_30=popular_30,
        popular_7=popular.order_counts(past, days=7),
        affinities=[
            _affinity(past, classes, decayed[60], popular_30)
            for classes in (*past.categories, past.brands)
        ],
        member_orders=order_numbers(past.purchases).astype(np.float32),
        member_days=(past.day - first).astype(np.float32),
        member_idle=(past.day - latest).astype(np.float32),
    )


def candidate_pairs(facts: Facts, members: NDArray[np.int32]) -> Pairs:
    """The union of what the sources propose for some members (ascending rows)."""
    keys = []
    n_products = facts.past.n_products
    for source in facts.sources:
        found = source.candidates(members)
        keys.append(members[found.owners()].astype(np.int64) * n_products + found.products)
    union = distinct(np.concatenate(keys))
    return Pairs((union // n_products).astype(np.int32), (union % n_products).astype(np.int32))


def collect(facts: Facts, pairs: Pairs) -> Evidence:
    """The evidence of each pair, in their order."""
    past, repeats = facts.past, facts.past.repeats
    members, products = pairs.members, pairs.products
    at, bought = locate(repeats.offsets, repeats.products, members, products)
    count = np.where(bought, repeats.counts[at] if len(repeats.counts) else 0, 0)
    last = np.where(bought, _at(repeats.last, at), past.day)
    span = np.where(bought, last - _at(repeats.first, at), 0)
    usual = facts.product_interval[products]
    leaf, parent, root, brand = facts.affinities

    def decayed(days: int) -> Floats:
        return np.where(bought, _at(facts.decayed[days], at), np.float32(0))

    return Evidence(
        count=count.astype(np.float32),
        decayed_20=decayed(20),
        decayed_60=decayed(60),
        decayed_180=decayed(180),
        last_day=np.floor(last).astype(np.float32),
        # one more interval, the product's own: what a single order is worth
        interval=((span + usual) / np.maximum(count, 1)).astype(np.float32),
        rebought=facts.rebought[products],
        product_interval=usual,
        popular_30=facts.popular_30[products],
        popular_7=facts.popular_7[products],
        together=facts.sources.together.scores(members, products),
        taste=facts.sources.taste.scores(members, products),
        category_leaf=leaf.of(pairs),
        category_parent=parent.of(pairs),
        category_root=root.of(pairs),
        brand=brand.of(pairs),
        leaf_orders=leaf.everybody(products),
        parent_orders=parent.everybody(products),
        promoted=past.promoted[products],
        member_orders=facts.member_orders[members],
        member_days=facts.member_days[members],
        member_idle=facts.member_idle[members],
        session=session_similarity(facts, pairs),
    )


def of_nobody(facts: Facts) -> Evidence:
    """One row for each product: what a member of whom nothing is known would bring."""
    past = facts.past
    size = past.n_products
    nothing = np.zeros(size, np.float32)
    products = np.arange(size, dtype=np.int32)
    leaf, parent, *_ = facts.affinities
    return Evidence(
        **dict.fromkeys(_OF_MEMBERS, nothing),
        last_day=nothing,
        interval=facts.product_interval,
        rebought=facts.rebought,
        product_interval=facts.product_interval,
        popular_30=facts.popular_30,
        popular_7=facts.popular_7,
        leaf_orders=leaf.everybody(products),
        parent_orders=parent.everybody(products),
        promoted=past.promoted,
        member_orders=_typical(facts, facts.member_orders),
        member_days=_typical(facts, facts.member_days),
        member_idle=_typical(facts, facts.member_idle),
    )


_OF_MEMBERS = (
    "count", "decayed_20", "decayed_60", "decayed_180", "together", "taste",
    "category_leaf", "category_parent", "category_root", "brand", "session",
)  # fmt: skip


def member_columns(facts: Facts) -> Floats:
    """shape (members, len(MEMBER)): the features that do not depend on a product."""
    return np.stack(
        features.member(facts.member_orders, facts.member_days, facts.member_idle), axis=1
    )


def _typical(facts: Facts, of_members: Floats) -> Floats:
    """shape (products,): the median over members with an order, for each product."""
    active = of_members[facts.member_orders > 0]
    median = np.median(active) if len(active) else 0.0
    return np.full(facts.past.n_products, median, np.float32)


def session_similarity(facts: Facts, pairs: Pairs) -> Floats:
    """shape (pairs,): cosine to each of the member's latest events, weighted by kind and age.

    All 0 in a log that hardly holds any browsing: the purchases before an as-of date are no
    session, and what they say is said by other features.
    """
    past = facts.past
    history = past.history
    if not facts.sessions:
        return np.zeros(len(pairs.members), np.float32)
    ends = history.offsets[1:]
    recent = np.arange(len(history.products)) >= np.repeat(
        ends - features.SESSION_EVENTS, np.diff(history.offsets)
    )
    latest = history.where(recent)
    weights = features.session_weights(past.day, latest.days, latest.kinds)
    shape = (past.n_members, past.n_products)
    events = csr_matrix((weights, latest.products, latest.offsets), shape=shape)
    members, rows = np.unique(pairs.members, return_inverse=True)
    return cells(
        (events[members] @ facts.sources.together.similarity).tocsr(), rows, pairs.products
    )


def _browsing(history: History, day: float) -> int:
    """Views, clicks and carts of members in the last weeks."""
    kinds = history.kinds[history.days >= day - BROWSING_DAYS]
    return int(np.isin(kinds, BROWSING).sum())


def order_numbers(purchases: History) -> NDArray[np.int64]:
    """shape (members,): orders of each member."""
    keys = distinct(purchases.members.astype(np.int64) << 32 | purchases.orders)
    return np.bincount(keys >> 32, minlength=len(purchases.offsets) - 1)


def _intervals(past: Past) -> tuple[Floats, Floats]:
    """Each product's mean days between two orders of one member, and the share of its buyers
    who came back; both shrunk to the shop's mean by the weight of a few observations."""
    pairs, size = past.repeats, past.n_products
    gaps = np.bincount(pairs.products, pairs.last - pairs.first, size)
    times = np.bincount(pairs.products, pairs.counts - 1, size)
    usual = gaps.sum() / times.sum() if times.sum() else 30.0
    again = np.bincount(pairs.products, pairs.counts > 1, size)
    buyers = np.bincount(pairs.products, minlength=size)
    rate = again.sum() / max(buyers.sum(), 1)
    interval = np.maximum((gaps + 5 * usual) / (times + 5), 1.0)
    return interval.astype(np.float32), ((again + 2 * rate) / (buyers + 2)).astype(np.float32)


def _affinity(
    past: Past, classes: NDArray[np.int32], decayed: Floats, popular_30: Floats
) -> Affinity:
    pairs = past.repeats
    known = classes >= 0
    size = int(classes.max(initial=-1)) + 1
    kept = known[pairs.products]
    place = (pairs.members()[kept], classes[pairs.products[kept]])
    orders = csr_matrix((decayed[kept], place), shape=(past.n_members, max(size, 1)))
    everybody = np.bincount(classes[known], popular_30[known], max(size, 1))
    return Affinity(classes, orders, everybody.astype(np.float32))


def _at(values: NDArray[np.floating], rows: NDArray[np.int64]) -> NDArray[np.floating]:
    return values[rows] if len(values) else np.zeros(len(rows), values.dtype)
