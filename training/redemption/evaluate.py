"""How well a campaign that is over would have been foreseen, from what was known when it began."""

import difflib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata
from threadpoolctl import threadpool_limits

from recsys import redemption
from recsys.errors import DataError
from recsys.features import Floats
from training.redemption import learn as learning
from training.redemption.campaigns import FEW, Campaigns, Rows
from training.redemption.knowledge import Knowledge, known
from training.redemption.learn import Learned
from training.shop import Shop


@dataclass(frozen=True, slots=True)
class Row:
    """One ranking of the campaign's coupons, member by member; shape (redeemers,) each."""

    recall: NDArray[np.float64]
    """of the k best coupons: redeemed ones among them / redeemed ones"""
    reciprocal_rank: NDArray[np.float64]
    """of the first redeemed one, however deep"""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """A campaign against what came of it."""

    campaign_id: str
    k: int
    rows: dict[str, Row]
    coupons: int
    targeted: Rows
    who: Floats
    """shape (targeted,): the chance to redeem anything"""
    redeemed: NDArray[np.bool_]
    """shape (targeted,)"""
    chance: Floats
    """shape (targeted, coupons): to redeem each, given or not"""
    pairs: NDArray[np.bool_]
    """shape (targeted, coupons): redeemed"""
    learned: Learned

    def report(self) -> dict[str, Any]:
        """The figures, as one JSON object."""
        return {
            "campaign": self.campaign_id,
            "k": self.k,
            "coupons": self.coupons,
            "targeted": len(self.targeted),
            "redeemers": int(self.redeemed.sum()),
            "rows": {
                name: {
                    "recall": round(float(row.recall.mean()), 5),
                    "mrr": round(float(row.reciprocal_rank.mean()), 5),
                }
                for name, row in self.rows.items()
            },
            "who": _rounded(auc(self.who, self.redeemed)),
            "redemptions": {
                "expected": round(float(self.chance.sum(dtype=np.float64)), 2),
                "actual": int(self.pairs.sum()),
            },
            "learned_from": self.learned.to_json()["learned_from"],
        }


def foresee(
    shop: Shop, campaigns: Campaigns, campaign_id: str, *, k: int = 10, seed: int = 1
) -> Foreseen:
    """Rank a campaign's coupons for each member who redeemed one of them, and its members by their
    chance to redeem any. Nothing that was not known at its start is looked at but to compare."""
    with threadpool_limits(1, "blas"):  # as `train` does
        return _foresee(shop, campaigns, _named(campaigns, campaign_id), k=k, seed=seed)


def _foresee(shop: Shop, campaigns: Campaigns, campaign: int, *, k: int, seed: int) -> Foreseen:
    campaign_id, day = campaigns.campaign_ids[campaign], float(campaigns.starts[campaign])
    coupons, targeted = campaigns.coupons(campaign), campaigns.targeted(campaign)
    pairs = campaigns.redeemed(campaign, targeted)
    redeemed = np.any(pairs, axis=1)
    if not redeemed.any():
        raise DataError(
            f"campaign {campaign_id}: none of its {len(targeted):,} members redeemed one of its "
            f"{len(coupons)} coupons, so there is nothing to compare with. Choose another one."
        )
    knowledge = known(shop, campaigns, day)
    if not knowledge.active:
        raise DataError(
            f"campaign {campaign_id} begins before the first purchase: nothing was known then. "
            "Choose a later one."
        )
    learned = learning.learn(shop, campaigns, day)
    given, certain = campaigns.given(campaign, targeted)
    each = float(given.sum(axis=1).mean()) if certain else FEW
    who = learned.redemption.of_campaign.chance(
        learning.campaign_table(knowledge, coupons, targeted, each, learned.redemption.ranking)
    )
    buyers = targeted[redeemed]
    bought = knowledge.bought(buyers, coupons)
    table = redemption.pair(knowledge.offered(coupons), bought)
    rank = learned.redemption.rank(table, selected=not certain)
    popular = np.broadcast_to(knowledge.popular(coupons), rank.shape)
    rng = np.random.default_rng([seed, campaign])
    scores = {
        "random": rng.random(rank.shape),
        "popular": popular,
        # of two coupons whose products a member bought as often, the more popular one
        "history": bought.lines + popular / (popular.max() + 1) * 0.5,
        "ranker": rank,
    }
    return Foreseen(
        campaign_id,
        k,
        {name: _row(found, pairs[redeemed], k) for name, found in scores.items()},
        len(coupons),
        targeted,
        who,
        redeemed,
        _chances(knowledge, learned, targeted, coupons, few=not certain) * given,
        pairs,
        learned,
    )


def _chances(
    knowledge: Knowledge, learned: Learned, members: Rows, coupons: Rows, *, few: bool
) -> Floats:
    """shape (members, coupons): redeemed, if pushed; with `few`, all but a member's FEW best are
    taken not to be."""
    offered, found = knowledge.offered(coupons), np.empty((len(members), len(coupons)), np.float32)
    for start in range(0, len(members), learning.CHUNK):
        span = slice(start, start + learning.CHUNK)
        bought = knowledge.bought(members[span], coupons)
        pair = redemption.pair(offered, bought)
        rank = learned.redemption.rank(pair)
        saved = redemption.depth(offered, bought)
        member = knowledge.member[members[span]]
        table = redemption.of_chance(rank, bought.recent, saved, member)
        found[span] = learned.redemption.of_coupon.chance(table)
        if few:
            likely = learned.redemption.rank(pair, selected=True)
            found[span] *= likely >= np.sort(likely, axis=1)[:, -FEW][:, None]
    return found


def _row(scores: NDArray[np.floating], redeemed: NDArray[np.bool_], k: int) -> Row:
    """Ties go to the coupon whose id comes first."""
    order = np.argsort(-scores, axis=1, kind="stable")
    hits = np.take_along_axis(redeemed, order, axis=1)
    return Row(hits[:, :k].sum(axis=1) / hits.sum(axis=1), 1 / (hits.argmax(axis=1) + 1))


def auc(scores: NDArray[np.floating], happened: NDArray[np.bool_]) -> float:
    """The chance that one to whom it happened scores above one to whom it did not; a tie counts
    half. NaN where everybody is of one kind."""
    positives = int(happened.sum())
    negatives = len(happened) - positives
    if not positives or not negatives:
        return float("nan")
    ranks = rankdata(scores)[happened].sum()
    return float((ranks - positives * (positives + 1) / 2) / (positives * negatives))


def _rounded(value: float) -> float | None:
    return None if np.isnan(value) else round(value, 5)


def _named(campaigns: Campaigns, campaign_id: str) -> int:
    if campaign_id in campaigns.campaign_ids:
        return campaigns.campaign_ids.index(campaign_id)
    if not campaigns.campaign_ids:
        raise DataError("the dataset has no campaigns. Import its tables campaigns, pushes, …")
    near = difflib.get_close_matches(campaign_id, campaigns.campaign_ids, n=1, cutoff=0.0)
    raise DataError(f"there is no campaign {campaign_id!r} in the dataset; did you mean {near[0]}?")
