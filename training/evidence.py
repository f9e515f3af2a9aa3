"""Gathers what a past says about member-product pairs, as `recsys.features.Evidence`."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys import features
from recsys.features import Evidence, Floats
from recsys.history import KINDS, History
from training.ablation import silent_columns
from training.affinity import IDLE_DAYS, Affinity, affinity
from training.config import Ablated, TrainingSettings
from training.shop import Past
from training.sources import Sources, popular, together
from training.sources.reaching import Seeded
from training.sparse import cells, distinct, locate, product_cells

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
    latest: Seeded
    """as `together`, from each member's latest orders alone"""
    without: tuple[Ablated, ...]
    """what is left out of candidates and features"""
    sessions: csr_matrix | None
    """`latest_events`; None in a log that holds too little browsing to speak of sessions"""
    interests: csr_matrix | None
    """`latest_interests`; None likewise"""
    of_pairs: dict[str, Floats]
    """what each member's orders say of each product in them; shape (repeats,)"""
    product_interval: Floats
    """shape (products,): days"""
    rebought: Floats
    """shape (products,)"""
    popular_30: Floats
    popular_7: Floats
    first_30: Floats
    first_7: Floats
    affinities: list[Affinity]
    """leaf, parent and root category, then brand"""
    member_orders: Floats
    """shape (members,)"""
    member_days: Floats
    member_idle: Floats
    """shape (members,): days since the first and since the latest order, 0 where there is none"""


def facts(past: Past, sources: Sources, settings: TrainingSettings) -> Facts:
    """Fold a past into tables."""
    pairs = past.repeats
    of_pairs = {
        "decayed_20": pairs.decayed(past.day, 20),
        "decayed_60": pairs.decayed(past.day, DECAY_DAYS),
        "decayed_180": pairs.decayed(past.day, 180),
        "faded_5": pairs.faded(5),
        "latest_5": pairs.latest(5),
        "idle_orders": pairs.idle_turns.astype(np.float32),
    }
    popular_30 = popular.order_counts(past, days=30)
    first_30 = popular.first_buyers(past, days=30)
    interval, rebought = _intervals(past)
    offsets = past.purchases.offsets
    started = np.diff(offsets) > 0
    browsed = _browsing(past.history, past.day) >= settings.browsing_needed
    first, latest = np.full((2, past.n_members), past.day)
    first[started] = past.purchases.days[offsets[:-1][started]]
    latest[started] = past.purchases.days[offsets[1:][started] - 1]
    return Facts(
        past=past,
        sources=sources,
        latest=together.from_latest(past, sources.together),
        without=settings.without,
        sessions=latest_events(past) if browsed else None,
        interests=latest_interests(past) if browsed else None,
        of_pairs=of_pairs,
        product_interval=interval,
        rebought=rebought,
        popular_30=popular_30,
        popular_7=popular.order_counts(past, days=7),
        first_30=first_30,
        first_7=popular.first_buyers(past, days=7),
        affinities=[
            affinity(
                past, classes, decayed=of_pairs["decayed_60"], popular=popular_30, first=first_30
            )
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
    for name, source in facts.sources.named():
        if name in facts.without:
            continue
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

    return Evidence(
        count=count.astype(np.float32),
        **{
            name: np.where(bought, _at(values, at), np.float32(0))
            for name, values in facts.of_pairs.items()
        },
        last_day=np.floor(last).astype(np.float32),
        # one more interval, the product's own: what a single order is worth
        interval=((span + usual) / np.maximum(count, 1)).astype(np.float32),
        rebought=facts.rebought[products],
        product_interval=usual,
        popular_30=_popular(facts, pairs, days=30),
        popular_7=_popular(facts, pairs, days=7),
        first_30=facts.first_30[products],
        first_7=facts.first_7[products],
        first_leaf=leaf.first(products),
        segment=facts.sources.segment.lift(members, products),
        together=facts.sources.together.scores(members, products),
        together_latest=facts.latest.scores(members, products),
        similar=facts.sources.similar.scores(members, products),
        neighbours=facts.sources.neighbours.scores(members, products),
        taste=facts.sources.taste.scores(members, products),
        category_leaf=leaf.of(members, products),
        category_parent=parent.of(members, products),
        category_root=root.of(members, products),
        brand=brand.of(members, products),
        category_idle=leaf.idle(members, products, past.day),
        leaf_orders=leaf.popular(products),
        parent_orders=parent.popular(products),
        promoted=past.promoted[products],
        member_orders=facts.member_orders[members],
        member_days=facts.member_days[members],
        member_idle=facts.member_idle[members],
        session=session_similarity(facts, pairs),
        session_leaf=session_leaf(facts, pairs),
    )


def table(facts: Facts, collected: Evidence) -> Floats:
    """shape (pairs, len(features.NAMES)): the features, 0 all over where they are left out."""
    found = features.features(collected, facts.past.day)
    found[:, silent_columns(facts.without)] = 0
    return found


def _popular(facts: Facts, pairs: Pairs, *, days: int) -> Floats:
    """shape (pairs,): everybody's orders in the days before the member's instant."""
    calendar = facts.past.calendar
    if calendar is None:
        return {30: facts.popular_30, 7: facts.popular_7}[days][pairs.products]
    return calendar.orders(pairs.members, pairs.products, days=days)


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
        first_30=facts.first_30,
        first_7=facts.first_7,
        first_leaf=leaf.first(products),
        category_idle=np.full(size, IDLE_DAYS, np.float32),
        leaf_orders=leaf.popular(products),
        parent_orders=parent.popular(products),
        promoted=past.promoted,
        member_orders=_typical(facts, facts.member_orders),
        member_days=_typical(facts, facts.member_days),
        member_idle=_typical(facts, facts.member_idle),
    )


def of_one_order(facts: Facts) -> Evidence:
    """Likewise, of a member of whom nothing is known but an order of it just now."""
    past = facts.past
    size = past.n_products
    one, products = np.ones(size, np.float32), np.arange(size, dtype=np.int32)
    leaf, parent, root, brand = (
        (of.classes[products] >= 0).astype(np.float32) for of in facts.affinities
    )
    nobody = of_nobody(facts)
    return replace(
        nobody,
        **dict.fromkeys(("count", *facts.of_pairs), one) | {"idle_orders": nobody.idle_orders},
        category_leaf=leaf,
        category_parent=parent,
        category_root=root,
        brand=brand,
        category_idle=np.where(leaf > 0, np.float32(0), nobody.category_idle),
    )


_OF_MEMBERS = (
    "count", "decayed_20", "decayed_60", "decayed_180", "faded_5", "latest_5", "idle_orders",
    "segment", "together", "together_latest", "similar", "neighbours", "taste",
    "category_leaf", "category_parent", "category_root", "brand", "session", "session_leaf",
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
    if facts.sessions is None:
        return np.zeros(len(pairs.members), np.float32)
    members, rows = np.unique(pairs.members, return_inverse=True)
    similarity = facts.sources.together.similarity
    return product_cells(facts.sessions[members], similarity, rows, pairs.products)


def session_leaf(facts: Facts, pairs: Pairs) -> Floats:
    """shape (pairs,): the interest that the member's latest events show in the product's category;
    0 where `session_similarity` is."""
    if facts.interests is None:
        return np.zeros(len(pairs.members), np.float32)
    return cells(facts.interests, pairs.members, facts.past.categories[0][pairs.products])


def latest_events(past: Past) -> csr_matrix:
    """shape (members, products): how much each member's latest events still say."""
    latest, weights = _session(past)
    shape = (past.n_members, past.n_products)
    return csr_matrix((weights, latest.products, latest.offsets), shape=shape)


def latest_interests(past: Past) -> csr_matrix:
    """shape (members, categories): how much interest they show, by the whole path's code."""
    latest, weights = _session(past)
    leaves = past.categories[0]
    size = int(leaves.max(initial=0)) + 1
    of, members = leaves[latest.products], latest.members.astype(np.int64)
    groups = np.where(of >= 0, members * size + of, -1)
    shown = features.session_interest(weights, latest.kinds, groups)
    kept = shown > 0
    found = csr_matrix((shown[kept], (members[kept], of[kept])), shape=(past.n_members, size))
    found.sum_duplicates()
    return found


def _session(past: Past) -> tuple[History, Floats]:
    """Each member's latest events, and how much each still says."""
    history = past.history
    ends = history.offsets[1:]
    recent = np.arange(len(history.products)) >= np.repeat(
        ends - features.SESSION_EVENTS, np.diff(history.offsets)
    )
    latest = history.where(recent)
    return latest, features.session_weights(past.day, latest.days, latest.kinds)


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


def _at(values: NDArray[np.floating], rows: NDArray[np.int64]) -> NDArray[np.floating]:
    return values[rows] if len(values) else np.zeros(len(rows), values.dtype)
