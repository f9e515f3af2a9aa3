"""What a question over HTTP means at its placement; RefusedError names what does not fit."""

import difflib
from collections.abc import Mapping

from recsys.model import Model
from serving.placements import Placement
from serving.problems import RefusedError
from serving.schemas import Question

FOUND = 20
"""places of a search of our own, where neither the request nor the placement says how many"""


def placement(placements: Mapping[str, Placement], asked: Question) -> Placement:
    """Where the list will stand."""
    found = placements.get(asked.placement)
    if found is None:
        near = difflib.get_close_matches(asked.placement, placements, 1, 0.5)
        hint = f"did you mean '{near[0]}'?" if near else f"known: {', '.join(placements)}"
        raise RefusedError("placement", f"there is no placement '{asked.placement}'; {hint}")
    return found


def seeds(place: Placement, asked: Question) -> list[str]:
    """The products that point at others: the page's, or the cart."""
    if place.kind == "product":
        if asked.product_id is None:
            raise RefusedError("product_id", f"placement {asked.placement} needs a product_id")
        return [asked.product_id]
    return asked.cart if place.kind == "cart" else []


def shown(asked: Question) -> list[str]:
    """What the page or the cart shows already is no proposal, whatever the placement."""
    return [*asked.cart, asked.product_id] if asked.product_id else asked.cart


def candidates(place: Placement, asked: Question) -> list[str] | None:
    """The only products that may come back, of a search that the shop made; None elsewhere."""
    if place.kind != "search" and asked.candidates is not None:
        raise RefusedError("candidates", _only_search(asked.placement, "candidates"))
    return asked.candidates


def query(place: Placement, asked: Question, model: Model) -> str | None:
    """What to search for; None where the shop has searched, and for other placements."""
    if place.kind != "search" and asked.query is not None:
        raise RefusedError("query", _only_search(asked.placement, "query"))
    if place.kind != "search" or asked.candidates is not None:
        return None
    if asked.query is None:
        detail = f"placement {asked.placement} needs a query, or candidates that you POST"
        raise RefusedError("query", detail)
    if model.search is None:
        detail = f"model {model.version} has no search index, for an earlier program made it"
        mend = "train again and publish, or POST candidates"
        raise RefusedError("query", f"{detail}; {mend}")
    return asked.query


def _only_search(placement: str, what: str) -> str:
    return f"placement {placement} takes no {what}; ask for placement search"


def limit(place: Placement, asked: Question, most: int) -> int:
    """How many places the list has."""
    given = len(asked.candidates or ())
    if asked.limit is not None and asked.limit > max(most, given):
        raise RefusedError("limit", f"limit is at most {max(most, given)}")
    return asked.limit or place.limit or (FOUND if asked.candidates is None else max(given, 1))
