"""A model of a size that takes long to train, written with arrays of the shapes and values that a
trained one has: every base list as long as it can be, every product with all its neighbours."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.scale.shop import Size, product_rows
from recsys import artifact
from recsys.artifact import Array, Artifact
from recsys.columns import Labels, Texts
from recsys.ids import IdIndex
from recsys.model import to_arrays
from training.config import TrainingSettings
from training.launches import EACH, MOST

LEFT_OUT = ("files", "redemption")
"""of the small one's manifest; coupons are for other benchmarks"""
CHUNK = 100_000
"""members at once"""


@dataclass(frozen=True, slots=True)
class Template:
    """A trained model of the same shop made small, whose values are drawn from."""

    opened: Artifact
    rng: np.random.Generator

    def drawn(self, name: str, count: int) -> Array:
        """shape (count,): values of one of its arrays."""
        values = self.opened.arrays[name]
        return values[self.rng.integers(0, len(values), count)]


def write_large(models: Path, template: Path, version: str, size: Size) -> str:
    """Write a model of so many members and products; the version, which is not published."""
    rng = np.random.default_rng(1)
    small = Template(artifact.open_model(template, version), rng)
    settings = TrainingSettings()
    listed = min(settings.base_size, settings.listed_repeats + settings.listed_new)
    products = _products(small, size)
    arrays = {
        **to_arrays("members", IdIndex.build([f"m{one}" for one in range(size.members)])),
        **products,
        **_base(small, size, listed, settings.listed_repeats),
        **_near(small, size, settings.neighbours),
        **{
            name: small.drawn(name, size.members)
            for name in ("member_static", "order_amount", "visit")
        },
        "fresh": rng.choice(products["fresh_anybody"], (size.members, EACH)),
    }
    manifest = {
        **{key: fact for key, fact in small.opened.manifest.items() if key not in LEFT_OUT},
        "members": size.members,
        "products": size.products,
    }
    return artifact.write(models, manifest, arrays)


def _products(small: Template, size: Size) -> dict[str, Array]:
    rows = product_rows(size)
    count = size.products
    regions = [None if one is None else json.dumps(one) for one in rows["regions"].to_list()]
    static = small.drawn("product_static", count)
    order = np.argsort(static, kind="stable")[::-1].astype(np.int32)
    return {
        **to_arrays("products", IdIndex.build(rows["product_id"].to_list())),
        **to_arrays("titles", Texts.build(rows["title"].to_list())),
        **to_arrays("categories", Labels.build(rows["category"].to_list())),
        **to_arrays("brands", Labels.build(rows["brand"].to_list())),
        **to_arrays("regions", Labels.build(regions)),
        "groups": Labels.build(rows["group_id"].to_list()).codes,
        "prices": rows["price"].to_numpy(),
        "sellable": rows["in_stock"].to_numpy(),
        "orders": small.drawn("orders", count),
        "product_static": static,
        "popular": order[:-MOST],
        "fresh_anybody": order[-MOST:],
        "scope_offsets": np.zeros(count + 1, np.int64),
        "scope_coupons": np.zeros(0, np.int32),
    }


def _base(small: Template, size: Size, listed: int, repeats: int) -> dict[str, Array]:
    """The first `repeats` of each list were bought before."""
    bought = np.flatnonzero(small.opened.arrays["base_last_day"])
    facts = {
        name: small.opened.arrays[f"base_{name}"]
        for name in ("static", "reasons", "last_day", "interval")
    }
    found = {name: np.empty((size.members, listed), one.dtype) for name, one in facts.items()}
    found["products"] = np.empty((size.members, listed), np.int32)
    for low in range(0, size.members, CHUNK):
        part = slice(low, min(low + CHUNK, size.members))
        shape = found["products"][part].shape
        found["products"][part] = _distinct(small.rng, shape, size.products)
        at = small.rng.integers(0, len(facts["static"]), shape)
        at[:, :repeats] = bought[at[:, :repeats] % len(bought)]
        for name, values in facts.items():
            found[name][part] = values[at]
    offsets = np.arange(size.members + 1, dtype=np.int64) * listed
    return {"base_offsets": offsets, **{f"base_{name}": one.ravel() for name, one in found.items()}}


def _near(small: Template, size: Size, most: int) -> dict[str, Array]:
    shape = (size.products, most)
    entries = size.products * most
    cosine = np.sort(small.drawn("near_cosine", entries).reshape(shape), axis=1)[:, ::-1]
    return {
        "near_offsets": np.arange(size.products + 1, dtype=np.int64) * most,
        "near_products": _distinct(small.rng, shape, size.products).ravel(),
        "near_cosine": cosine.ravel(),
        "near_orders": small.drawn("near_orders", entries),
    }


def _distinct(rng: np.random.Generator, shape: tuple[int, ...], size: int) -> NDArray[np.int32]:
    """Rows of products, shape (lists, length), none twice in a list."""
    lists, length = shape
    start = rng.integers(0, size, (lists, 1))
    steps = np.cumsum(rng.integers(1, max(2, size // length), (lists, length)), axis=1)
    found: NDArray[np.int32] = ((start + steps) % size).astype(np.int32)
    return found
