"""What a question over HTTP means at its placement; RefusedError names what does not fit."""

import difflib
from collections.abc import Mapping

from serving.placements import Placement
from serving.problems import RefusedError
from serving.schemas import Question


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
    """The only products that may come back, of a search; None elsewhere."""
    if (place.kind == "search") == (asked.candidates is not None):
        return asked.candidates
    if place.kind == "search":
        detail = f"placement {asked.placement} ranks the candidates that you POST; there are none"
    else:
        detail = f"placement {asked.placement} takes no candidates; ask for placement search"
    raise RefusedError("candidates", detail)


def limit(place: Placement, asked: Question, most: int) -> int:
    """How many places the list has."""
    given = len(asked.candidates or ())
    if asked.limit is not None and asked.limit > max(most, given):
        raise RefusedError("limit", f"limit is at most {max(most, given)}")
    return asked.limit or place.limit or max(given, 1)
