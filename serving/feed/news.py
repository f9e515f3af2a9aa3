"""News of products: what the shop says of them now, until it says otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

Fact = bool | float | str | list[str] | None
Facts = Mapping[str, Fact]
"""by field of ProductNews; None takes back what was said, so that the dataset's word counts again.
Lists are not empty: Lua would make an object of such a one"""


@dataclass(frozen=True, slots=True)
class ProductChange:
    """What is said now of one product. A fact that is not named stays as it is."""

    product_id: str
    facts: Facts


class ProductNews(msgspec.Struct, frozen=True):
    """All that is said of a product at present."""

    product_id: str
    in_stock: bool | None = None
    price: float | None = None
    title: str | None = None
    category: str | None = None
    brand: str | None = None
    regions: list[str] | None = None
    told_at: int | None = None
    """seconds since 1970 UTC, of the latest change"""


def changed(known: bytes | None, facts: Facts) -> bytes:
    """The stored facts (JSON) after a change."""
    before = {} if known is None else msgspec.json.decode(known, type=dict[str, Fact])
    return msgspec.json.encode({**before, **facts})


def read(product_id: str, stored: bytes) -> ProductNews:
    """What the store holds of a product."""
    return ProductNews(product_id, **msgspec.json.decode(stored))
