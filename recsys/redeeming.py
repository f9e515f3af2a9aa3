"""How likely members redeem coupons: one answer for planner, request and report."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys import redemption
from recsys.artifact import Array
from recsys.features import Floats
from recsys.redemption import Redemption

PREFIX = "redeem"
Rows = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Redeeming:
    """The weights, and what is static of members and coupons at the model's instant.

    Only pairs with a purchase or a redemption in the coupon's scope are kept; of all others a
    coupon's own row in `none` says everything.
    """

    weights: Redemption
    offsets: NDArray[np.int64]
    """shape (members + 1,)"""
    coupons: Rows
    """rows of the model's coupons, ascending for each member"""
    pairs: NDArray[np.float16]
    """shape (pairs, 3): rank, recent and depth; see `redemption.of_chance`"""
    none: Floats
    """shape (coupons, 3): the same of a member with nothing in the scope; NaN where the coupon was
    void before the model"""
    conduct: NDArray[np.float16]
    """shape (members, len(redemption.MEMBER) - 1)"""
    last_push: NDArray[np.float32]
    """shape (members,): day since 1970, NaN where there was none"""

    def of_coupons(self, members: Rows, *, now: float) -> Floats:
        """shape (members, coupons): each redeems each, if pushed with it; 0 for a void one."""
        return self.chances(self.table(members, now=now))

    def table(self, members: Rows, *, now: float) -> Floats:
        """shape (members, coupons, len(redemption.CHANCE)); NaN where the coupon is void."""
        rank, recent, saved = np.moveaxis(self._pairs(members), -1, 0)
        return redemption.of_chance(rank, recent, saved, self._members(members, now))

    def chances(self, table: Floats) -> Floats:
        """shape (members, coupons), of `table`."""
        return np.nan_to_num(self.weights.of_coupon.chance(table), nan=0.0)

    def of_campaign(self, members: Rows, coupons: Rows, *, now: float, given: float) -> Floats:
        """shape (members,): each redeems anything of a campaign with these coupons, of which a
        member gets so many."""
        pairs = self._pairs(members)[:, coupons]
        open_ = ~np.isnan(pairs[0, :, 0]) if len(members) else np.zeros(len(coupons), np.bool_)
        rank, recent = pairs[:, open_, 0], pairs[:, open_, 1]
        if not rank.size:
            return np.zeros(len(members), np.float32)
        table = redemption.of_anything(rank, recent, given, self._members(members, now))
        return self.weights.of_campaign.chance(table)

    def _pairs(self, members: Rows) -> Floats:
        """shape (members, coupons, 3)"""
        found = np.repeat(self.none[None], len(members), axis=0)
        for at, row in enumerate(members):
            span = slice(int(self.offsets[row]), int(self.offsets[row + 1]))
            found[at, self.coupons[span]] = self.pairs[span]
        return found

    def _members(self, members: Rows, now: float) -> Floats:
        """shape (members, len(redemption.MEMBER))"""
        since = redemption.since_push(now, self.last_push[members])
        return np.hstack((self.conduct[members].astype(np.float32), since))

    @classmethod
    def from_artifact(
        cls, manifest: Mapping[str, Any], arrays: Mapping[str, Array]
    ) -> "Redeeming | None":
        """None of a model that learned nothing of coupons, or is older than that."""
        stored = manifest.get("redemption")
        if stored is None:
            return None
        names = [field.name for field in fields(cls)][1:]
        return cls(Redemption.from_json(stored), *(arrays[f"{PREFIX}_{name}"] for name in names))  # type: ignore[arg-type]

    def arrays(self) -> dict[str, Array]:
        """What `from_artifact` reads."""
        return {f"{PREFIX}_{field.name}": getattr(self, field.name) for field in fields(self)[1:]}
