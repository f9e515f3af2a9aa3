"""Why a product stands in a list: a code, a sentence, and facts that can be checked."""

from recsys.model import Model
from serving.picks import Pick
from serving.remembered import Remembered
from serving.schemas import Evidence, Reason
from serving.tables import NOWHERE
from serving.wording import LANGUAGES, WORDING, Language

REMEMBERED = 10_000
"""sentences of each kind that a worker remembers: about 10 MB"""
Why = tuple[str, Reason]
"""the candidate source, and the reason"""


class Reasons:
    """The reasons of one model's answers. Equal ones are made once."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._again = Remembered(_again, REMEMBERED)
        self._company = Remembered(self._of_entry, REMEMBERED)

    def of(self, pick: Pick, today: int, language: Language) -> Why:
        """`today`: whole days since 1970."""
        if pick.reason == "again":
            return self._again[today - pick.last_day, pick.every_days, language]
        if pick.entry != NOWHERE:
            return self._company[pick.reason, pick.entry, language]
        return _PLAIN[language, pick.reason]

    def _of_entry(self, said: tuple[str, int, Language]) -> Why:
        """What the orders say of the two products of an entry of the neighbours."""
        code, entry, language = said
        model, wording = self._model, WORDING[language]
        seed = int(model.near.offsets.searchsorted(entry, "right")) - 1
        both, of_seed = int(model.near.orders[entry]), int(model.orders[seed])
        of_other = int(model.orders[model.near.products[entry]])
        lift = round(both * model.all_orders / (of_seed * of_other), 1)
        seed_id = model.products.text(seed)
        text = wording.company(model.titles[seed] or seed_id, both, of_seed, lift)
        if code == "session":
            text = wording.seen(text)
        evidence = Evidence(product_id=seed_id, orders=both, of_orders=of_seed, lift=lift)
        return "together", Reason(code, text, evidence)


def _again(said: tuple[int, int, Language]) -> Why:
    days, every, language = max(0, said[0]), max(1, said[1]), said[2]
    text = WORDING[language].again(days, every)
    return "own", Reason("again", text, Evidence(last_days_ago=days, every_days=every))


_SOURCES = {
    "together": "together", "taste": "taste", "category": "taste", "promoted": "popular",
    "fresh": "fresh", "popular": "popular", "pinned": "pinned",
    "found": "search", "searched": "search",
}  # fmt: skip
_PLAIN: dict[tuple[Language, str], Why] = {
    (language, code): (source, Reason(code, WORDING[language].plain[code], Evidence()))
    for language in LANGUAGES
    for code, source in _SOURCES.items()
}
