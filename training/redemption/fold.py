"""Folds what is known of members and coupons into the model, in chunks of members."""

import numpy as np

from recsys import redemption
from recsys.features import Floats
from recsys.redeeming import Redeeming
from recsys.redemption import Bought, Offered, Redemption
from training.redemption.campaigns import Rows
from training.redemption.knowledge import Knowledge
from training.redemption.learn import CHUNK, Learned


def redeeming(knowledge: Knowledge, learned: Learned) -> Redeeming:
    """Everything that a request or a plan needs, at the instant of `knowledge`."""
    campaigns, weights = knowledge.campaigns, learned.redemption
    coupons = np.flatnonzero(campaigns.until > knowledge.day).astype(np.int32)
    offered = knowledge.offered(coupons)
    none = np.full((len(campaigns.coupon_ids), 3), np.nan, np.float32)
    none[coupons] = pairs(learned.redemption, offered, _nothing(len(coupons)))[0]
    n_members = len(knowledge.member)
    counts, columns = [np.zeros(1, np.int64)], [np.zeros(0, np.int32)]
    kept = [np.zeros((0, 3), np.float16)]
    for start in range(0, n_members, CHUNK):
        members: Rows = np.arange(start, min(start + CHUNK, n_members), dtype=np.int32)
        bought = knowledge.bought(members, coupons)
        own = (bought.lines > 0) | (bought.redeemed > 0)
        counts.append(own.sum(axis=1))
        columns.append(coupons[np.nonzero(own)[1]])
        kept.append(pairs(learned.redemption, offered, bought)[own].astype(np.float16))
    return Redeeming(
        weights,
        np.cumsum(np.concatenate(counts)),
        np.concatenate(columns),
        np.concatenate(kept),
        none,
        knowledge.member[:, :-1].astype(np.float16),
        knowledge.last_push,
    )


def pairs(weights: Redemption, offered: Offered, bought: Bought) -> Floats:
    """shape (members, coupons, 3): rank, recent and depth; see `redemption.of_chance`."""
    rank = weights.rank(redemption.pair(offered, bought))
    saved = redemption.depth(offered, bought)
    return np.stack((rank, bought.recent, saved), axis=-1)


def _nothing(coupons: int) -> Bought:
    """A member who bought nothing in any scope."""
    cells = np.zeros((1, coupons), np.float32)
    return Bought(cells, np.ones(1, np.float32), cells, cells, cells)
