"""Lessons: a past, and what was bought after it. The ranker learns from them."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recsys.ids import unit_interval
from training.config import TrainingSettings
from training.evidence import Pairs
from training.shop import Past, Shop
from training.sparse import distinct


@dataclass(frozen=True, slots=True)
class Lesson:
    """One past of some members, with what they bought next."""

    past: Past
    truth: Pairs

    def buyers(self) -> NDArray[np.int32]:
        """Rows of the members who bought, ascending."""
        return np.unique(self.truth.members)

    def sample(self, shop: Shop, most: int) -> NDArray[np.int32]:
        """At most so many of them; the same sample in any order or process."""
        buyers = self.buyers()
        if len(buyers) <= most:
            return buyers
        salt = f"window {self.past.day}"
        chance = np.array([unit_interval(salt, shop.member_ids[row]) for row in buyers])
        return np.sort(buyers[np.argpartition(chance, most)[:most]])


HELD_OUT = 0.2
"""of what a member bought, where there is no later purchase to learn from"""


def lessons(shop: Shop, day: float, settings: TrainingSettings) -> list[Lesson]:
    """What there is to learn from before a day, the latest last."""
    return dated(shop, day, settings) or held_out(shop, day, settings)


def dated(shop: Shop, day: float, settings: TrainingSettings) -> list[Lesson]:
    """The `windows` horizons that end at `day` or before."""
    found = []
    for window in range(settings.windows, 0, -1):
        past = shop.past(day - window * settings.horizon_days, min_support=settings.min_support)
        truth = bought_pairs(shop, past, settings.horizon_days)
        if len(truth.members):
            found.append(Lesson(past, truth))
    return found


def held_out(shop: Shop, day: float, settings: TrainingSettings) -> list[Lesson]:
    """For a log without two horizons: some members' pasts without some of their products."""
    whole = shop.past(day, min_support=settings.min_support)
    pairs, n_products = whole.repeats, whole.n_products
    members, products = pairs.members(), pairs.products
    several = np.flatnonzero(np.diff(pairs.offsets) > 1).astype(np.int32)
    everyone = Lesson(whole, Pairs(several, np.zeros_like(several)))
    rng = np.random.default_rng([settings.seed, int(day)])
    hidden = rng.random(len(products)) < HELD_OUT
    hidden &= np.isin(members, everyone.sample(shop, settings.window_members))
    hidden &= whole.catalogue[products]
    if not hidden.any():
        return []
    truth = Pairs(members[hidden], products[hidden])
    keys = shop.history.members.astype(np.int64) * n_products + shop.history.products
    kept = ~np.isin(keys, truth.members.astype(np.int64) * n_products + truth.products)
    rest = replace(shop, history=shop.history.where(kept), known=shop.known[kept])
    past = rest.past(day, min_support=settings.min_support)
    known = (np.diff(past.history.offsets)[truth.members] > 0) & past.catalogue[truth.products]
    lesson = Lesson(past, Pairs(truth.members[known], truth.products[known]))
    return [lesson] if known.any() else []


def bought_pairs(shop: Shop, past: Past, horizon_days: float) -> Pairs:
    """What members with a history bought of the catalogue in the horizon after a past."""
    later, end = shop.history, past.day + horizon_days
    # what a login later than the horizon claimed does not count
    inside = (later.days >= past.day) & (later.days < end) & (shop.known < end)
    bought = later.where(inside & past.catalogue[later.products]).purchases()
    keys = distinct(bought.members.astype(np.int64) * past.n_products + bought.products)
    members = (keys // past.n_products).astype(np.int32)
    known = np.diff(past.history.offsets)[members] > 0
    products = (keys % past.n_products).astype(np.int32)
    return Pairs(members[known], products[known])
