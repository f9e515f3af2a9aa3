"""Who redeems, by the recipe that anybody would try first: an L1 logistic regression on some sixty
plain counts. Fixed, and shared with nothing that is measured against it."""

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from training.redemption.campaigns import Campaigns
from training.shop import Shop

WINDOWS = (7, 14, 30, 60, 90, 180, 1000)
"""days"""
STRENGTH = 1.0
"""sklearn's C, its default; of .01, .03, .1, .3 and 1 the best where it is tested"""

Columns = NDArray[np.float64]


def chances(shop: Shop, campaigns: Campaigns, campaign: int) -> Columns:
    """shape (targeted,): trained on all campaigns that had ended when this one began."""
    begun = campaigns.starts[campaign]
    ended = (campaigns.ends <= begun) & (campaigns.starts > shop.history.days.min())
    before = [int(one) for one in np.flatnonzero(ended) if len(campaigns.targeted(int(one)))]
    table = np.concatenate([features(shop, campaigns, one) for one in before])
    happened = np.concatenate(
        [campaigns.redeemed(one, campaigns.targeted(one)).any(axis=1) for one in before]
    )
    means, spread = table.mean(axis=0), table.std(axis=0) + 1e-9
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # its penalty's name is being renamed between versions
        model = LogisticRegression(penalty="l1", C=STRENGTH, solver="liblinear", random_state=1)
        model.fit((table - means) / spread, happened)
    scores: Columns = model.decision_function(
        (features(shop, campaigns, campaign) - means) / spread
    )
    return scores


def features(shop: Shop, campaigns: Campaigns, campaign: int) -> Columns:
    """shape (targeted, 65): logs of plain counts, at the campaign's start."""
    day = campaigns.starts[campaign]
    members, coupons = campaigns.targeted(campaign), campaigns.coupons(campaign)
    size = len(shop.member_ids)
    inside = np.asarray(campaigns.scope[:, coupons].sum(axis=1)).ravel() > 0
    past = shop.history.before(day).purchases()
    columns = [np.full(size, len(coupons)), np.full(size, inside.sum())]
    for chosen in (np.ones(len(past.days), np.bool_), inside[past.products]):
        bought = past.where(chosen)
        latest = np.full(size, -np.inf)
        np.maximum.at(latest, bought.members, bought.days)
        columns.append(np.minimum(day - latest, 365))
        for days in WINDOWS:
            late = bought.where(bought.days >= day - days)
            columns += [
                np.bincount(late.members, minlength=size),
                np.bincount(late.members, late.amounts, size),
                _different(late.members, late.products, size),
                _different(late.members, late.orders, size),
            ]
    pushes, used = campaigns.pushes, campaigns.redemptions
    sent, redeemed = pushes.days < day, used.days < day
    last = np.full(size, -np.inf)
    np.maximum.at(last, pushes.members[sent], pushes.days[sent])
    fresh = redeemed & (used.days >= day - 60)
    columns += [
        np.bincount(pushes.members[sent], minlength=size),
        np.minimum(day - last, 365),
        np.bincount(used.members[redeemed], minlength=size),
        np.bincount(used.members[fresh], minlength=size),
        _different(used.members[redeemed], campaigns.of_campaign[used.coupons[redeemed]], size),
    ]
    return np.log1p(np.column_stack(columns)[members].astype(np.float64))


def _different(members: NDArray[np.int32], things: NDArray[np.int32], size: int) -> Columns:
    """shape (members,): how many different things each has."""
    if not len(things):
        return np.zeros(size)
    pairs = csr_matrix((np.ones(len(things)), (members, things)), shape=(size, things.max() + 1))
    pairs.sum_duplicates()
    found: Columns = np.diff(pairs.indptr).astype(np.float64)
    return found
