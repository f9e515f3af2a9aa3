"""Where a list stands in the shop: what points at its products, and under which rules."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from serving.rotation import Rotation
from serving.rules import Rules

Kind: TypeAlias = Literal["home", "product", "cart", "search"]
Source: TypeAlias = Literal["page", "member", "new"]

_USUAL = Rules()


@dataclass(frozen=True, slots=True)
class Placement:
    """One of them. Whatever its sources leave open is filled from the catalogue."""

    kind: Kind
    """what a request for it brings: a product, a cart, a query or candidates, or nothing"""
    sources: frozenset[Source]
    """page: what is bought together with the page's product or the cart, first; member: their own
    list; new: products too new to be ranked, in the last places"""
    rules: Rules = _USUAL
    limit: int | None = 20
    """where the request states none; None is as many as there are candidates, or 20 for a query"""
    rest_hours: float | None = None
    """None is the service's"""
    rotation: Rotation | None = None
    """what becomes of products that were shown again and again; None is nothing"""


BUILT_IN = {
    "home": Placement("home", frozenset(("member", "new")), rotation=Rotation()),
    "product": Placement("product", frozenset(("page", "member"))),
    "cart": Placement("cart", frozenset(("page", "member"))),
    # what was searched for is shown, bought a moment ago or not, in all its variants
    "search": Placement(
        "search", frozenset(("member",)), Rules(one_variant=False), limit=None, rest_hours=0
    ),
}
