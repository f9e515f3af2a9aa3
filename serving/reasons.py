"""Why a product stands in a list: a code, a sentence, and facts that can be checked."""

from functools import lru_cache

from recsys.model import Model
from serving.picks import Pick
from serving.schemas import Evidence, Reason

REMEMBERED = 20_000
"""sentences that a worker remembers: about 10 MB"""
Why = tuple[str, Reason]
"""the candidate source, and the reason"""


class Reasons:
    """The reasons of one model's answers. Equal ones are made once."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._again = lru_cache(REMEMBERED)(_again)
        self._seeded = lru_cache(REMEMBERED)(self._of_seed)

    def of(self, pick: Pick, today: int) -> Why:
        """`today`: whole days since 1970."""
        if pick.reason == "again":
            return self._again(today - pick.last_day, pick.every_days)
        if pick.seed is not None:
            return self._seeded(pick.reason, pick.seed)
        return _PLAIN[pick.reason]

    def _of_seed(self, code: str, seed: int) -> Why:
        product_id = self._model.products.text(seed)
        title = self._model.titles[seed] or product_id
        text = f"Often bought together with {title}"
        if code == "session":
            text += ", which you saw or bought lately"
        return "together", Reason(code, text, Evidence(product_id=product_id))


def _again(days: int, every: int) -> Why:
    days, every = max(0, days), max(1, every)
    ago = {0: "today", 1: "yesterday"}.get(days, f"{days} days ago")
    rhythm = "every day" if every == 1 else f"about every {every} days"
    text = f"You buy it {rhythm}, last {ago}"
    return "own", Reason("again", text, Evidence(last_days_ago=days, every_days=every))


def _plain(source: str, code: str, text: str) -> Why:
    return source, Reason(code, text, Evidence())


_PLAIN = {
    "together": _plain("together", "together", "Often bought together with what you buy"),
    "taste": _plain("taste", "taste", "Members with a taste like yours buy it"),
    "category": _plain("taste", "category", "From a category you buy often"),
    "promoted": _plain("popular", "promoted", "On promotion now"),
    "fresh": _plain("fresh", "fresh", "New in the shop"),
    "popular": _plain("popular", "popular", "Popular in the shop now"),
    "pinned": _plain("pinned", "pinned", "Chosen by the shop"),
    "found": _plain("search", "found", "Found by your search"),
}
