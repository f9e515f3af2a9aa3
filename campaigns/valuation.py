"""Values coupons for members by the published model: `OfferSource` over `recsys.coupons`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from campaigns.offers import Offers
from recsys.coupons import Coupon, Terms
from recsys.model import Model
from recsys.offers import basis, most_off, worth

CHUNK = 1024
"""members valued at once: 1024 x 1000 coupons x 8 bytes x 3 = 25 MB"""


@dataclass(frozen=True, slots=True)
class ModelOffers:
    """A campaign's coupons at one instant."""

    model: Model
    coupon_ids: list[str]
    terms: Terms
    now: float
    """days since 1970"""

    def offers(self, member_ids: Sequence[str], /) -> Offers:
        """See `OfferSource`. A member that the model does not know is offered nothing."""
        rows = [self.model.members.row(member) for member in member_ids]
        value = np.full((len(rows), len(self.coupon_ids)), -np.inf)
        probability, discount = np.zeros_like(value), np.zeros_like(value)
        known = np.flatnonzero([row is not None for row in rows])
        for start in range(0, len(known), CHUNK):
            chunk = known[start : start + CHUNK]
            members = np.array([rows[at] for at in chunk], np.int32)
            found = worth(self.model, members, self.terms, now=self.now)
            for column, places in enumerate(self._places()):
                if not len(places):
                    continue
                some = self._admitted(self.model.coupons[int(places[0])], members)
                at, those = chunk[some], np.ix_(some, places)
                value[at, column] = found.value[those].max(axis=1)
                probability[at, column] = found.probability[those].max(axis=1)
                discount[at, column] = found.discount[those].max(axis=1)
        return Offers(
            self.coupon_ids, value, probability, self._costs(), discount, self._most_off(),
            basis(self.model, self.terms),
        )  # fmt: skip

    def explain(self, member_id: str, coupon_id: str, /) -> str:
        """The products of the coupon that the member is likeliest to buy."""
        member = self.model.members.row(member_id)
        if member is None:
            return "nothing is known of this member"
        places = set(self._places()[self.coupon_ids.index(coupon_id)].tolist())
        base, scope = self.model.base, self.model.scope_offsets
        titles: list[str] = []
        for product in base.products[int(base.offsets[member]) : int(base.offsets[member + 1])]:
            covered = self.model.scope_coupons[int(scope[product]) : int(scope[product + 1])]
            if places.intersection(covered.tolist()):
                row = int(product)
                titles.append(self.model.titles[row] or self.model.products.text(row))
        first = ", ".join(dict.fromkeys(titles[:3]))
        return (
            f"it counts for {len(titles)} products on their list: {first}"
            if titles
            else ("none of its products is on their list")
        )

    def _places(self) -> list[NDArray[np.intp]]:
        """For each coupon, its valid rows in the model (one a campaign)."""
        rows: dict[str, list[int]] = {coupon: [] for coupon in self.coupon_ids}
        for at, coupon in enumerate(self.model.coupons):
            if coupon.coupon_id in rows and coupon.valid(self.now):
                rows[coupon.coupon_id].append(at)
        return [np.array(rows[coupon], np.intp) for coupon in self.coupon_ids]

    def _admitted(self, coupon: Coupon, members: NDArray[np.int32]) -> NDArray[np.intp]:
        """Places of the members whose tier may use the coupon."""
        if not coupon.tiers:
            return np.arange(len(members))
        return np.flatnonzero([coupon.admits(self.model.tier(row)) for row in members.tolist()])

    def _costs(self) -> NDArray[np.float64]:
        cost = {coupon.coupon_id: coupon.cost or 0.0 for coupon in self.model.coupons}
        return np.array([cost.get(coupon, 0.0) for coupon in self.coupon_ids])

    def _most_off(self) -> NDArray[np.float64]:
        """Of a coupon that is in several campaigns, the most in any."""
        coupons = self.model.coupons
        return np.array(
            [
                max((most_off(coupons[at], self.terms) for at in places.tolist()), default=0.0)
                for places in self._places()
            ],
            np.float64,
        )
