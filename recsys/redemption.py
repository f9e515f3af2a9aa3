"""Who redeems which coupon: the features of a member and a coupon, and the weights over them.

One definition for training and for planning. `PAIR` ranks the coupons of one member, `CHANCE` is of
one coupon that is pushed to a member, `ANYTHING` of a whole campaign.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.features import Floats
from recsys.scoring import sigmoid

PAIR = (
    "spend", "share", "bought", "lift", "breadth", "buyers", "redeemed", "stated", "discount",
    "quantity",
)  # fmt: skip
MEMBER = ("rate", "lately", "spend_60", "orders", "thrift", "since_push")
CHANCE = ("rank", "recent", "depth", *MEMBER)
ANYTHING = ("reach", "recent", "given", *MEMBER)

LATELY_DAYS, RECENT_DAYS, SPEND_DAYS, YEAR = 120.0, 14.0, 60.0, 365.0
REACHED = 5
"""how well a campaign suits a member is the mean rank of so many of its coupons, the best ones"""


@dataclass(frozen=True, slots=True)
class Offered:
    """What is known of some coupons. Every array has shape (coupons,). Money is in the shop's mean
    purchase line, so that no weight hangs on a currency."""

    breadth: Floats
    """products in the scope"""
    mean_lines: Floats
    """purchase lines in the scope, for a member with a past"""
    buyers: Floats
    """share of the members with a past who bought something in the scope"""
    price: Floats
    """mean purchase line in the scope"""
    discount: Floats
    """money off, NaN where the coupon does not say"""
    quantity: Floats
    """units that must be bought, 1 where the coupon does not say"""


@dataclass(frozen=True, slots=True)
class Bought:
    """What members did in the scopes of some coupons. Arrays have shape (members, coupons)."""

    spend: Floats
    total: Floats
    """shape (members,): spend in all products"""
    lines: Floats
    recent: Floats
    """lines weighted exp(-age / RECENT_DAYS)"""
    redeemed: Floats
    """coupons that the member redeemed before and that share a product with this one"""


@dataclass(frozen=True, slots=True)
class Conduct:
    """What members did altogether. Every array has shape (members,)."""

    targeted: Floats
    """campaigns that the member was pushed"""
    redeemed: Floats
    """campaigns that the member redeemed something of"""
    lately: Floats
    """coupons redeemed, weighted exp(-age / LATELY_DAYS)"""
    spend_60: Floats
    """in SPEND_DAYS"""
    orders: Floats
    thrift: Floats
    """mean of how far below the product's usual line the member pays, in logs; 0 is the usual"""


def pair(offered: Offered, bought: Bought) -> Floats:
    """shape (members, coupons, len(PAIR))"""
    own, stated = bought.lines > 0, np.isfinite(offered.discount)
    discount = np.log(np.clip(np.where(stated, offered.discount, 1), 0.02, 50))
    columns = (
        np.log1p(bought.spend),
        np.log(bought.spend / np.maximum(bought.total, 1)[:, None] + 1e-3),
        own,
        # of what one never bought the coupon nobody wants is not the better one
        np.where(own, np.log((bought.lines + 0.5) / (offered.mean_lines + 0.5)), 0),
        np.log1p(offered.breadth),
        np.log(offered.buyers + 1e-3),
        np.log1p(bought.redeemed),
        stated,
        discount,
        np.log(offered.quantity),
    )
    return np.stack(np.broadcast_arrays(*columns), axis=-1, dtype=np.float32)


def conduct(of: Conduct) -> Floats:
    """shape (members, len(MEMBER) - 1): all but the last, which is the clock's."""
    columns = (
        # against one campaign in ten; 0 for a member of whom nothing is known
        np.log((of.redeemed + 0.3) / (0.1 * of.targeted + 0.3)),
        np.log1p(of.lately),
        np.log1p(of.spend_60),
        np.log1p(of.orders),
        of.thrift,
    )
    return np.stack(columns, axis=-1, dtype=np.float32)


def since_push(now: float, last_push: Floats) -> Floats:
    """shape (members, 1): `last_push` in days since 1970, NaN where there was none."""
    days = np.where(np.isnan(last_push), YEAR, np.clip(now - last_push, 0, YEAR))
    return np.log1p(days).astype(np.float32)[:, None]


def depth(offered: Offered, bought: Bought) -> Floats:
    """shape (members, coupons): log of the share that is saved of the member's usual price for what
    must be bought; 0 where the coupon does not say."""
    # two lines at everybody's price stand for what the member has not bought
    usual = (bought.spend + 2 * offered.price) / (bought.lines + 2)
    saved = np.clip(offered.discount / (usual * offered.quantity), 0.02, 1)
    return np.where(np.isfinite(offered.discount), np.log(saved), 0).astype(np.float32)


def of_chance(rank: Floats, recent: Floats, saved: Floats, member: Floats) -> Floats:
    """shape (members, coupons, len(CHANCE)): `rank`, `recent` and `saved` (`depth`) have shape
    (members, coupons), and `member` (members, len(MEMBER))."""
    theirs = np.broadcast_to(member[:, None], (*rank.shape, member.shape[1]))
    columns = np.stack((rank, np.log1p(recent), saved), axis=-1)
    return np.concatenate((columns, theirs), axis=-1)


def of_anything(rank: Floats, recent: Floats, given: float, member: Floats) -> Floats:
    """shape (members, len(ANYTHING)): `given`, the coupons that a member gets of the campaign."""
    most = min(REACHED, rank.shape[1])
    reach = np.sort(rank, axis=1)[:, -most:].mean(axis=1)
    columns = (reach, np.log1p(recent.sum(axis=1)), np.full(len(rank), np.log1p(given)))
    return np.column_stack((*columns, member)).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Logistic:
    """A logistic model over named features."""

    names: tuple[str, ...]
    bias: float
    weights: Floats
    """shape (len(names),)"""

    def chance(self, table: Floats) -> Floats:
        """shape (…,), of a table of shape (…, len(names))"""
        return sigmoid((table @ self.weights + np.float32(self.bias)).astype(np.float32))

    def to_json(self) -> dict[str, Any]:
        """The weights, by the names of the features."""
        return {"bias": self.bias, "weights": _named(self.names, self.weights)}


@dataclass(frozen=True, slots=True)
class Redemption:
    """What was learned of redeeming."""

    ranking: Floats
    """shape (len(PAIR),)"""
    selection: Floats
    """shape (len(PAIR),): added to `ranking` where a shop chose a few of many coupons for each
    member and did not record which; to redeem one takes having been given it"""
    of_coupon: Logistic
    """the member redeems the coupon, pushed with it; over CHANCE"""
    of_campaign: Logistic
    """the member redeems anything of a campaign, targeted by it; over ANYTHING"""

    def rank(self, table: Floats, *, selected: bool = False) -> Floats:
        """shape (members, coupons): the higher, the likelier redeemed, of `pair`; with `selected`,
        the likelier given and redeemed."""
        weights: Floats = self.ranking + self.selection if selected else self.ranking
        ranked: Floats = table @ weights
        return ranked

    def to_json(self) -> dict[str, Any]:
        """The weights, by the names of the features."""
        return {
            "ranking": _named(PAIR, self.ranking),
            "selection": _named(PAIR, self.selection),
            "of_coupon": self.of_coupon.to_json(),
            "of_campaign": self.of_campaign.to_json(),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Redemption":
        """The counterpart of `to_json`; KeyError for a feature that this program has not."""
        return cls(
            _weights(PAIR, stored["ranking"]),
            _weights(PAIR, stored["selection"]),
            *(
                Logistic(names, stored[part]["bias"], _weights(names, stored[part]["weights"]))
                for part, names in (("of_coupon", CHANCE), ("of_campaign", ANYTHING))
            ),
        )


def _named(names: tuple[str, ...], weights: Floats) -> dict[str, float]:
    return {name: float(weight) for name, weight in zip(names, weights, strict=True)}


def _weights(names: tuple[str, ...], stored: Mapping[str, float]) -> NDArray[np.float32]:
    if set(stored) != set(names):
        raise KeyError(f"redemption features {', '.join(sorted(set(stored) ^ set(names)))}")
    return np.array([stored[name] for name in names], np.float32)
