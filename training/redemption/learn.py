"""Learns who redeems what from the campaigns that had ended before an instant."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recsys import redemption
from recsys.features import Floats
from recsys.ids import unit_interval
from recsys.redemption import ANYTHING, CHANCE, PAIR, Bought, Logistic, Redemption
from training.redemption import fit
from training.redemption.campaigns import FEW, WHOLE, Campaigns, Rows
from training.redemption.fit import Choice
from training.redemption.knowledge import Knowledge, known
from training.shop import Shop

CAMPAIGNS = 40
"""the latest so many are learned from"""
MEMBERS = 5_000
"""members of one campaign that are learned from, at most: 5,000 x 50 coupons x 10 features x 4
bytes = 10 MB"""
REDEEMERS = 2_000
"""likewise members who redeemed something: 2,000 x 200 x 20 x 4 bytes = 32 MB"""
CHUNK = 512

PRIOR = {"spend": 0.4, "bought": 1.0, "lift": 0.3, "buyers": 0.2}
"""of the ranking: first what a member buys anyway, and more than others do; then what many buy"""
PRIOR_CHANCE = {"rank": 0.5, "rate": 0.5}
"""of both chances; `rank` stands for `reach`, too"""
RATE_OF_COUPON, RATE_OF_CAMPAIGN = 0.01, 0.1
"""one coupon in a hundred that are pushed is redeemed; one targeted member in ten redeems some"""


@dataclass(frozen=True, slots=True)
class Learned:
    """The weights, and what they rest on."""

    redemption: Redemption
    campaigns: int
    """that had ended"""
    redemptions: int
    """coupons redeemed in them, which the ranking learned from"""

    def to_json(self) -> dict[str, object]:
        """The manifest's `redemption`."""
        return {
            **self.redemption.to_json(),
            "learned_from": {"campaigns": self.campaigns, "redemptions": self.redemptions},
            "prior_only": not self.redemptions,
            "exposure": {"whole_up_to_coupons": WHOLE, "else_best_of_a_member": FEW},
        }


@dataclass(frozen=True, slots=True)
class Lesson:
    """One ended campaign, as it looked when it began."""

    choice: Choice
    """of members who redeemed something"""
    pairs: Choice
    """sampled members, whatever they redeemed; no one where it is unknown what they were given"""
    recent: Floats
    saved: Floats
    """shape (members, coupons), of `pairs`"""
    member: Floats
    """shape (members, len(MEMBER)), of `pairs`"""
    targeted: Rows
    anything: NDArray[np.bool_]
    """shape (targeted,)"""
    knowledge: Knowledge
    coupons: Rows
    given: float
    """coupons that one member was given"""
    certain: bool
    """whether it is known which"""


def learn(shop: Shop, campaigns: Campaigns, day: float) -> Learned:
    """Fit on what had ended by a day; with nothing to learn from, the prior stays."""
    lessons = [
        lesson
        for campaign in _ended(campaigns, day)
        if (lesson := _lesson(shop, campaigns, campaign)) is not None
    ]
    ranking, selection = _ranking(lessons)
    return Learned(
        Redemption(
            ranking, selection, _of_coupon(lessons, ranking), _of_campaign(lessons, ranking)
        ),
        len(lessons),
        sum(int(lesson.choice.redeemed.sum()) for lesson in lessons),
    )


def _ended(campaigns: Campaigns, day: float) -> list[int]:
    ended = np.flatnonzero(campaigns.ends <= day)
    latest = ended[np.argsort(campaigns.ends[ended], kind="stable")][-CAMPAIGNS:]
    return [int(campaign) for campaign in latest]


def _lesson(shop: Shop, campaigns: Campaigns, campaign: int) -> Lesson | None:
    """None for a campaign with nobody, nothing, or nothing known before it."""
    coupons, targeted = campaigns.coupons(campaign), campaigns.targeted(campaign)
    knowledge = known(shop, campaigns, float(campaigns.starts[campaign]))
    if not len(coupons) or not len(targeted) or not knowledge.active:
        return None
    targeted = _sample(targeted, MEMBERS, campaigns.campaign_ids[campaign], shop)
    redeemed = campaigns.redeemed(campaign, targeted)
    given, certain = campaigns.given(campaign, targeted)
    anything = np.any(redeemed, axis=1)
    chosen = np.flatnonzero(anything)[:REDEEMERS]
    pairs = np.arange(len(targeted)) if certain else np.arange(0)
    offered = knowledge.offered(coupons)

    def examples(rows: NDArray[np.int64]) -> tuple[Choice, Bought]:
        bought = knowledge.bought(targeted[rows], coupons)
        table = redemption.pair(offered, bought)
        return Choice(table, given[rows] | redeemed[rows], redeemed[rows]), bought

    choice, _ = examples(chosen)
    of_pairs, bought = examples(pairs)
    each = float(given.sum(axis=1).mean()) if certain else FEW
    return Lesson(
        choice, of_pairs, bought.recent, redemption.depth(offered, bought),
        knowledge.member[targeted[pairs]], targeted, anything, knowledge, coupons, each, certain,
    )  # fmt: skip


def _sample(members: Rows, most: int, salt: str, shop: Shop) -> Rows:
    """At most so many, ascending; the same in any order or process."""
    if len(members) <= most:
        return members
    chance = np.array([unit_interval(f"campaign {salt}", shop.member_ids[row]) for row in members])
    return np.sort(members[np.argpartition(chance, most)[:most]])


def _ranking(lessons: list[Lesson]) -> tuple[Floats, Floats]:
    """The weights of redeeming a coupon, and those of having been given it; only campaigns of which
    that is not known teach the latter."""
    prior = _prior(PAIR, PRIOR)
    weights = fit.choice(
        [
            replace(lesson.choice, table=_selected(lesson.choice.table, lesson.certain))
            for lesson in lessons
            if len(lesson.choice.table)
        ],
        np.concatenate((prior, np.zeros_like(prior))),
    )
    return weights[: len(PAIR)], weights[len(PAIR) :]


def _selected(table: Floats, certain: bool) -> Floats:
    """shape (members, coupons, 2 * len(PAIR))"""
    return np.concatenate((table, np.zeros_like(table) if certain else table), axis=-1)


def _of_coupon(lessons: list[Lesson], ranking: Floats) -> Logistic:
    tables, labels = [np.zeros((0, len(CHANCE)), np.float32)], [np.zeros(0, np.bool_)]
    for lesson in lessons:
        pairs = lesson.pairs
        if len(pairs.table):
            rank = pairs.table @ ranking
            table = redemption.of_chance(rank, lesson.recent, lesson.saved, lesson.member)
            tables.append(table[pairs.given])
            labels.append(pairs.redeemed[pairs.given])
    return _logistic(CHANCE, tables, labels, PRIOR_CHANCE, RATE_OF_COUPON)


def _of_campaign(lessons: list[Lesson], ranking: Floats) -> Logistic:
    tables, labels = [np.zeros((0, len(ANYTHING)), np.float32)], [np.zeros(0, np.bool_)]
    for lesson in lessons:
        tables.append(
            campaign_table(lesson.knowledge, lesson.coupons, lesson.targeted, lesson.given, ranking)
        )
        labels.append(lesson.anything)
    prior = {**PRIOR_CHANCE, "reach": PRIOR_CHANCE["rank"]}
    return _logistic(ANYTHING, tables, labels, prior, RATE_OF_CAMPAIGN)


def campaign_table(
    knowledge: Knowledge, coupons: Rows, members: Rows, given: float, ranking: Floats
) -> Floats:
    """shape (members, len(ANYTHING)), in chunks: a campaign may target everybody."""
    offered = knowledge.offered(coupons)
    parts = [np.zeros((0, len(ANYTHING)), np.float32)]
    for start in range(0, len(members), CHUNK):
        chunk = members[start : start + CHUNK]
        bought = knowledge.bought(chunk, coupons)
        rank = redemption.pair(offered, bought) @ ranking
        parts.append(redemption.of_anything(rank, bought.recent, given, knowledge.member[chunk]))
    return np.concatenate(parts)


def _logistic(
    names: tuple[str, ...], tables: list[Floats], labels: list[NDArray[np.bool_]],
    prior: dict[str, float], rate: float,
) -> Logistic:  # fmt: skip
    bias, weights = fit.logistic(
        np.concatenate(tables),
        np.concatenate(labels),
        prior=_prior(names, prior),
        bias=float(np.log(rate / (1 - rate))),
    )
    return Logistic(names, bias, weights)


def _prior(names: tuple[str, ...], weights: dict[str, float]) -> NDArray[np.float64]:
    return np.array([weights.get(name, 0.0) for name in names])
