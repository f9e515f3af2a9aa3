"""What was known of members and coupons at an instant, as `recsys.redemption` wants it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recsys import redemption
from recsys.features import Floats
from recsys.history import History
from recsys.redemption import Bought, Conduct, Offered
from training.evidence import order_numbers
from training.redemption.campaigns import Campaigns, Rows
from training.shop import Shop

USUAL = 5
"""so many lines at the usual price stand for what is not known of a member"""


@dataclass(frozen=True, slots=True)
class Knowledge:
    """Tables over what had happened before `day`; nothing in them is later."""

    day: float
    line: float
    """money of the mean purchase line"""
    spend: csr_matrix
    """shape (members, products), in lines"""
    lines: csr_matrix
    """shape (members, products)"""
    recent: csr_matrix
    """shape (members, products)"""
    redeemed: csr_matrix
    """shape (members, coupons of the model): 1 where the member had redeemed it"""
    member: Floats
    """shape (members, len(redemption.MEMBER))"""
    last_push: Floats
    """shape (members,): day, NaN where there was none"""
    active: int
    """members with a purchase"""
    campaigns: Campaigns

    def offered(self, coupons: Rows) -> Offered:
        """What is known of some coupons."""
        scope = self.campaigns.scope[:, coupons]
        lines = self.lines @ scope
        bought = np.asarray(lines.sum(axis=0)).ravel()
        spent = np.asarray((self.spend @ scope).sum(axis=0)).ravel()
        price = (spent + 1) / (bought + 1)  # one line more, of the shop's mean
        return Offered(
            np.asarray(scope.sum(axis=0)).ravel().astype(np.float32),
            (bought / max(self.active, 1)).astype(np.float32),
            (np.diff(lines.tocsc().indptr) / max(self.active, 1)).astype(np.float32),
            price.astype(np.float32),
            self._discount(coupons, price).astype(np.float32),
            self.campaigns.quantities[coupons].astype(np.float32),
        )

    def bought(self, members: Rows, coupons: Rows) -> Bought:
        """What some members did in the scopes of some coupons."""
        scope = self.campaigns.scope[:, coupons]
        redeemed = self.redeemed[members]
        used = np.unique(redeemed.indices)
        alike = (self.campaigns.scope[:, used].T @ scope).toarray() > 0
        return Bought(
            (self.spend[members] @ scope).toarray(),
            np.asarray(self.spend[members].sum(axis=1)).ravel(),
            (self.lines[members] @ scope).toarray(),
            (self.recent[members] @ scope).toarray(),
            redeemed[:, used] @ alike.astype(np.float32),
        )

    def popular(self, coupons: Rows) -> Floats:
        """shape (coupons,): buyers of each product in the scope, added up."""
        of_products = np.diff(self.lines.tocsc().indptr).astype(np.float32)
        found: Floats = of_products @ self.campaigns.scope[:, coupons]
        return found

    def _discount(self, coupons: Rows, price: NDArray[np.float64]) -> NDArray[np.float64]:
        """Money off, in lines; NaN where it is not stated."""
        kinds = [self.campaigns.kinds[row] for row in coupons]
        values = self.campaigns.values[coupons]
        found = np.full(len(coupons), np.nan)
        for kind, off in (
            ("amount", values / self.line),
            ("percent", values / 100 * price),
            ("gift", price),
        ):
            chosen = np.array([one == kind for one in kinds], np.bool_)
            found[chosen] = off[chosen]
        return found


def known(shop: Shop, campaigns: Campaigns, day: float) -> Knowledge:
    """Fold what was known before an instant."""
    n_members = len(shop.member_ids)
    bought = shop.known_before(np.full(n_members, day)).purchases()
    paid = bought.amounts > 0
    line = float(bought.amounts[paid].mean()) if paid.any() else 1.0
    shape = (n_members, shop.n_products)

    def table(weights: NDArray[np.floating]) -> csr_matrix:
        # a copy: summing sorts the columns in place
        rows = (weights.astype(np.float32), bought.products, bought.offsets)
        found = csr_matrix(rows, shape, copy=True)
        found.sum_duplicates()
        return found

    before = campaigns.pushes.days < day
    pushed, when = campaigns.pushes.members[before], campaigns.pushes.days[before]
    last = np.full(n_members, np.nan, np.float32)
    last[pushed] = when  # by time: the latest stays
    count = campaigns.redemptions.days < day
    members, coupons = campaigns.redemptions.members[count], campaigns.redemptions.coupons[count]
    redeemed = csr_matrix(
        (np.ones(len(members), np.float32), (members, coupons)),
        shape=(n_members, len(campaigns.coupon_ids)),
    )
    redeemed.sum_duplicates()
    redeemed.data[:] = 1
    return Knowledge(
        day,
        line,
        table(bought.amounts / line),
        table(np.ones(len(bought.days))),
        table(np.exp((bought.days - day) / redemption.RECENT_DAYS)),
        redeemed,
        np.column_stack(
            (
                redemption.conduct(_conduct(bought, campaigns, day, line)),
                redemption.since_push(day, last),
            )
        ),
        last,
        int((np.diff(bought.offsets) > 0).sum()),
        campaigns,
    )


def _conduct(bought: History, campaigns: Campaigns, day: float, line: float) -> Conduct:
    n_members, owners = len(bought.offsets) - 1, bought.members
    pushes, redemptions = campaigns.pushes, campaigns.redemptions
    sent, used = pushes.days < day, redemptions.days < day
    lately = np.exp((redemptions.days[used] - day) / redemption.LATELY_DAYS)
    fresh = bought.days >= day - redemption.SPEND_DAYS
    columns = (
        _distinct(pushes.members[sent], pushes.campaigns[sent], n_members),
        _distinct(
            redemptions.members[used],
            campaigns.of_campaign[redemptions.coupons[used]],
            n_members,
        ),
        np.bincount(redemptions.members[used], lately, n_members),
        np.bincount(owners[fresh], bought.amounts[fresh] / line, n_members),
        order_numbers(bought),
        _thrift(bought, owners),
    )
    return Conduct(*(column.astype(np.float32) for column in columns))


def _distinct(members: Rows, campaigns: Rows, n_members: int) -> NDArray[np.int64]:
    """shape (members,): different campaigns of each."""
    pairs = np.unique(np.column_stack((members, campaigns)), axis=0)
    return np.bincount(pairs[:, 0], minlength=n_members)


def _thrift(bought: History, owners: Rows) -> NDArray[np.float64]:
    """shape (members,): see `Conduct`."""
    paid = bought.amounts > 0
    products, logs = bought.products[paid], np.log(bought.amounts[paid].astype(np.float64))
    usual = np.bincount(products, logs) / np.maximum(np.bincount(products), 1)
    below = np.maximum(usual[products] - logs, 0) if len(products) else logs
    size = len(bought.offsets) - 1
    lines = np.bincount(owners[paid], minlength=size)
    mean = below.mean() if len(below) else 0.0
    return (np.bincount(owners[paid], below, size) + USUAL * mean) / (lines + USUAL) - mean
