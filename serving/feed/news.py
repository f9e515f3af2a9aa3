"""News of products: what the shop says of stock and price now, until it says otherwise."""

from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

Facts = Mapping[str, bool | float | None]
"""`in_stock` and `price`; None takes back what was said, so that the dataset's word counts again"""


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


def changed(known: bytes | None, facts: Facts) -> bytes:
    """The stored facts (JSON) after a change."""
    before = (
        {} if known is None else msgspec.json.decode(known, type=dict[str, bool | float | None])
    )
    return msgspec.json.encode({**before, **facts})


def read(product_id: str, stored: bytes) -> ProductNews:
    """What the store holds of a product."""
    return ProductNews(product_id, **msgspec.json.decode(stored))
