"""The strong simple rankings that every evaluation is compared with. Fixed recipes: never
tuned, never shared with the model's own sources."""

import numpy as np
from numpy.typing import NDArray

from training.references import counts, factors, tifuknn, up_cf
from training.references.recipe import Recipe, Scores
from training.shop import Past
from training.splits import SplitName

CHUNK = 256
"""members scored at once, as a dense block over the catalogue"""

_ALWAYS: dict[str, Recipe] = {
    "popular": counts.popular,
    "popular-segment": counts.popular_segment,
    "repeat": counts.repeat,
    "als": factors.als,
    "bm25": factors.bm25,
}
RECIPES: dict[SplitName, dict[str, Recipe]] = {
    SplitName.DATE: _ALWAYS,
    SplitName.LAST_BASKET: {
        **_ALWAYS,
        "global-top": counts.global_top,
        "personal-top": counts.personal_top,
        "up-cf": up_cf.fit,
        "tifuknn": tifuknn.fit,
    },
}


class References:
    """A split's rankings, fitted on one past."""

    def __init__(self, past: Past, split: SplitName) -> None:
        self._scores = {name: recipe(past) for name, recipe in RECIPES[split].items()}

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of the report."""
        return tuple(self._scores)

    def block(self, name: str, members: NDArray[np.int32]) -> Scores:
        """shape (members, products of the catalogue): -inf for what the ranking has no word on."""
        return self._scores[name](members)
