"""A model, typed: what training writes and serving and campaigns look things up in."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from recsys import features
from recsys.artifact import Array, Artifact
from recsys.columns import Attribute, Labels, Texts
from recsys.coupons import Coupon
from recsys.errors import ModelError
from recsys.features import Floats
from recsys.ids import IdIndex
from recsys.measured import Measured
from recsys.redeeming import Redeeming
from recsys.scoring import Blend, ClockCurve, Weights
from recsys.search import FILE, SearchIndex


@dataclass(frozen=True, slots=True)
class BaseLists:
    """Each member's best products at the as-of instant, by descending score."""

    offsets: NDArray[np.int64]
    """shape (members + 1,)"""
    products: NDArray[np.int32]
    static: NDArray[np.float16]
    """the part of the logit that waits for the next model"""
    reasons: NDArray[np.uint8]
    """index into scoring.REASON_CODES"""
    last_day: NDArray[np.uint16]
    """UTC day since 1970 of the latest order with it; 0 for a product never bought"""
    interval: NDArray[np.float16]
    """days from one order with it to the next"""


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Products bought together with each product, by descending cosine."""

    offsets: NDArray[np.int64]
    """shape (products + 1,)"""
    products: NDArray[np.int32]
    cosine: NDArray[np.float16]
    orders: NDArray[np.int32]
    """orders that hold both"""


@dataclass(frozen=True)
class Model:
    """An opened model. Arrays are memory-mapped; only the weights and coupons are objects."""

    version: str
    manifest: Mapping[str, Any]
    blend: Blend
    coupons: list[Coupon]
    members: IdIndex
    products: IdIndex
    base: BaseLists
    near: Neighbours
    orders: NDArray[np.int32]
    """shape (products,): orders that hold it"""
    titles: Texts
    categories: Labels
    """paths, ` > ` between levels"""
    brands: Labels
    regions: Labels
    """where a product is sold, as JSON lists; unknown is everywhere"""
    groups: NDArray[np.int32]
    """shape (products,): products with one code are variants of one; -1 stands alone"""
    attributes: Mapping[str, Attribute]
    """further columns of the catalogue, by name"""
    prices: NDArray[np.float64]
    """shape (products,): current unit price, NaN where unknown"""
    product_static: NDArray[np.float16]
    """shape (products,): static logit for a member of whom nothing is known"""
    member_static: NDArray[np.float16]
    """shape (members,): what a member's own pace adds to it"""
    popular: NDArray[np.int32]
    """the whole catalogue as an unknown member would get it, best first"""
    fresh: NDArray[np.int32]
    """shape (members, few): products too new to be ranked that may suit a member, best first; -1
    is none"""
    fresh_anybody: NDArray[np.int32]
    """all of them, for a member of whom nothing is known"""
    sellable: NDArray[np.bool_]
    """shape (products,): False where the catalogue says that it is out of stock"""
    order_amount: NDArray[np.float32]
    """shape (members,): mean amount of an order; the shop's mean where there is none"""
    visit: NDArray[np.float16]
    """shape (members,): the chance that a member buys anything within the horizon"""
    scope_offsets: NDArray[np.int64]
    """shape (products + 1,)"""
    scope_coupons: NDArray[np.int32]
    """the coupons (rows of `coupons`) that each product counts for"""
    redeeming: Redeeming | None
    """who redeems them; None where the shop has no coupons, or the model is older than that"""
    measured: Measured | None = None
    """what pushes were seen to bring; None where no holdout has shown it yet"""
    once: NDArray[np.float16] | None = None
    """shape (2, products): static logit and interval in days for a member of whom nothing is known
    but that they have just ordered it; what is bought for good is hardly bought again"""
    search: SearchIndex | None = None
    tiers: Labels | None = None
    """by member; they are None in a model of a program that made none"""

    @cached_property
    def feed_sequences(self) -> dict[int, int]:
        """By shard: the last event of the feed that this model contains."""
        return {int(shard): int(last) for shard, last in self.manifest["feed"].items()}

    def tier(self, member: int) -> str | None:
        """A member's tier; None where it is unknown."""
        return None if self.tiers is None else self.tiers[member] or None

    @cached_property
    def clock(self) -> ClockCurve:
        """The blend's clock."""
        return ClockCurve.of(self.blend)

    @property
    def all_orders(self) -> int:
        """Orders that the model knows."""
        return int(self.manifest["orders"])

    @property
    def horizon_days(self) -> float:
        """A probability is of a purchase within so many days."""
        return float(self.manifest["config"]["horizon_days"])

    @property
    def exploring(self) -> float:
        """Share of a home list's places for products too new to be ranked."""
        return float(self.manifest["config"]["exploring"])

    def base_logits(self, rows: slice, now: float) -> Floats:
        """Logits of a stretch of base-list entries at an instant (days since 1970)."""
        static = self.base.static[rows].astype(np.float32)
        last = self.base.last_day[rows].astype(np.float32)
        interval = self.base.interval[rows].astype(np.float32)
        clock = self.clock.logits(now, last, interval)
        return static + np.where(last > 0, clock, np.float32(0))

    @classmethod
    def from_artifact(cls, artifact: Artifact) -> "Model":
        """Type an artifact; ModelError where it is of another shape."""
        arrays, manifest = artifact.arrays, artifact.manifest
        try:
            return cls(
                version=artifact.version,
                manifest=manifest,
                blend=_blend(manifest["blend"]),
                coupons=[Coupon(**facts) for facts in manifest["coupons"]],
                members=IdIndex.from_arrays(arrays, "members"),
                products=IdIndex.from_arrays(arrays, "products"),
                base=BaseLists(*_prefixed(arrays, "base", BaseLists)),
                near=Neighbours(*_prefixed(arrays, "near", Neighbours)),
                titles=Texts(*_prefixed(arrays, "titles", Texts)),
                categories=_labels(arrays, "categories"),
                brands=_labels(arrays, "brands"),
                regions=_labels(arrays, "regions"),
                attributes=_attributes(manifest["attributes"], arrays),
                once=arrays.get("once"),  # type: ignore[arg-type]
                search=_search(artifact),
                tiers=_labels(arrays, "tiers") if "tiers_codes" in arrays else None,
                redeeming=Redeeming.from_artifact(manifest, arrays),
                measured=Measured.read(artifact.others),
                **{name: arrays[name] for name in _PLAIN},  # type: ignore[arg-type]
            )
        except (KeyError, TypeError) as error:
            raise ModelError(
                f"model {artifact.version} lacks {error}: it was written by another program. "
                "Train it again with this one."
            ) from error


_PLAIN = (
    "orders", "groups", "prices", "product_static", "member_static", "popular", "fresh",
    "fresh_anybody",
    "sellable", "order_amount", "visit", "scope_offsets", "scope_coupons",
)  # fmt: skip


Part = IdIndex | BaseLists | Neighbours | Texts | Labels


def to_arrays(prefix: str, part: Part) -> dict[str, Array]:
    """The arrays of one part under the names that `Model.from_artifact` reads."""
    return {f"{prefix}_{name}": getattr(part, name) for name in part.__slots__}


def blend_to_json(blend: Blend) -> dict[str, Any]:
    """The manifest's `blend`."""
    parts = {name: asdict(getattr(blend, name)) for name in ("repeat", "new")}
    for part in parts.values():
        part["weights"] = [float(value) for value in part["weights"]]
        part["means"] = [float(value) for value in part["means"]]
    return {"features": list(features.NAMES), **parts}


def _blend(stored: Mapping[str, Any]) -> Blend:
    # a model of before the last feature is one to which it says nothing
    if tuple(stored["features"]) not in (features.NAMES, features.NAMES[:-1]):
        raise ModelError(
            "the model's features are not this program's. Train it again with this program."
        )
    return Blend(*(_weights(stored[name]) for name in ("repeat", "new")))


def _weights(stored: Mapping[str, Any]) -> Weights:
    weights, means = np.zeros((2, len(features.NAMES)), np.float32)
    weights[: len(stored["weights"])] = stored["weights"]
    means[: len(stored["means"])] = stored["means"]
    return Weights(float(stored["bias"]), weights, means)


def _prefixed(
    arrays: Mapping[str, Array],
    prefix: str,
    part: type[BaseLists | Neighbours | Texts | Labels],
) -> list[Any]:
    return [arrays[f"{prefix}_{field.name}"] for field in fields(part)]


def attributes_to_arrays(named: Mapping[str, Attribute]) -> dict[str, Array]:
    """Numbered by name's place: a name of the shop's own is no file name."""
    arrays: dict[str, Array] = {}
    for place, one in enumerate(named.values()):
        name = f"attribute_{place}"
        arrays |= to_arrays(name, one) if isinstance(one, Labels) else {name: one}
    return arrays


def _attributes(names: list[str], arrays: Mapping[str, Array]) -> dict[str, Attribute]:
    """The counterpart of `attributes_to_arrays`; names in its order."""
    found: dict[str, Any] = {}
    for place, name in enumerate(names):
        stored = f"attribute_{place}"
        found[name] = arrays[stored] if stored in arrays else _labels(arrays, stored)
    return found


def _search(artifact: Artifact) -> SearchIndex | None:
    if FILE not in artifact.others:
        return None
    order = cast(NDArray[np.int32], artifact.arrays["search_order"])
    return SearchIndex(artifact.others[FILE], order)


def _labels(arrays: Mapping[str, Array], prefix: str) -> Labels:
    return Labels(*_prefixed(arrays, prefix, Labels))
