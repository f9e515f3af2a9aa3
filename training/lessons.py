"""Lessons: windows before a test, with what was bought in them. The ranker learns from them."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from recsys.ids import unit_interval
from training.config import TrainingSettings
from training.evidence import Pairs
from training.shop import Shop
from training.splits import ByDate, Split, Window

HELD_OUT = 0.2
"""of what a member bought, where there is no later purchase to learn from"""


def lessons(split: Split, settings: TrainingSettings) -> Iterator[tuple[Window, NDArray[np.int32]]]:
    """The `windows` windows before a split's test, the latest last, each with the members (rows,
    ascending) to learn from."""
    found = False
    for level in range(settings.windows, 0, -1):
        window = split.window(level)
        if len(window.truth.members):
            found = True
            yield window, sample(window, split.shop, settings.window_members)
    if not found and isinstance(split, ByDate):
        for window in held_out(split.shop, split.day, settings):
            yield window, np.unique(window.truth.members)


def sample(window: Window, shop: Shop, most: int) -> NDArray[np.int32]:
    """Rows of at most so many members who bought, ascending; the same in any order or process."""
    buyers = np.unique(window.truth.members)
    if len(buyers) <= most:
        return buyers
    salt = f"window {window.past.day}"
    chance = np.array([unit_interval(salt, shop.member_ids[row]) for row in buyers])
    return np.sort(buyers[np.argpartition(chance, most)[:most]])


def held_out(shop: Shop, day: float, settings: TrainingSettings) -> list[Window]:
    """For a log without two horizons: some members' pasts without some of their products."""
    whole = shop.past(day, min_support=settings.min_support)
    pairs, n_products = whole.repeats, whole.n_products
    members, products = pairs.members(), pairs.products
    several = np.flatnonzero(np.diff(pairs.offsets) > 1).astype(np.int32)
    everyone = Window(whole, Pairs(several, np.zeros_like(several)))
    rng = np.random.default_rng([settings.seed, int(day)])
    hidden = rng.random(len(products)) < HELD_OUT
    chosen = sample(everyone, shop, settings.windows * settings.window_members)
    hidden &= np.isin(members, chosen)
    hidden &= whole.catalogue[products]
    if not hidden.any():
        return []
    truth = Pairs(members[hidden], products[hidden])
    keys = shop.history.members.astype(np.int64) * n_products + shop.history.products
    kept = ~np.isin(keys, truth.members.astype(np.int64) * n_products + truth.products)
    rest = replace(shop, history=shop.history.where(kept), known=shop.known[kept])
    past = rest.past(day, min_support=settings.min_support)
    known = (np.diff(past.history.offsets)[truth.members] > 0) & past.catalogue[truth.products]
    lesson = Window(past, Pairs(truth.members[known], truth.products[known]))
    return [lesson] if known.any() else []
