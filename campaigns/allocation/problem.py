"""What is shared out: each member's choices, and the limits that all of them are under."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from campaigns.allocation.passes import survey
from recsys.errors import CampaignError

Doubles = NDArray[np.float64]
Wide = NDArray[np.int64]
Rows = NDArray[np.int64]

MOST_OFFERS = 1 << 16
MOST_COST = (1 << 31) - 1


class Choices(NamedTuple):
    """What each member may be given: rows of members, each with some choices, or none.

    An offer is a campaign's coupon on a channel; a member has each at most once. Keeping the slot
    for a later campaign is an offer that no limit counts. Ten bytes a choice.
    """

    offsets: Wide
    """shape (members + 1,): where a member's choices start"""
    value: NDArray[np.float32]
    """shape (choices,): expected profit, money"""
    cost: NDArray[np.int32]
    """shape (choices,): minor units"""
    offer: NDArray[np.uint16]
    """shape (choices,)"""

    @property
    def members(self) -> int:
        """How many rows."""
        return len(self.offsets) - 1


@dataclass(frozen=True, slots=True)
class Limit:
    """At most so much of some offers together: pushes, their costs, or an amount for each push."""

    name: str
    most: int
    """pushes, or minor units"""
    offers: Sequence[int] | NDArray[np.integer]
    money: bool = False
    """whether a push uses what it costs"""
    amounts: Sequence[int] | NDArray[np.integer] | None = None
    """for each of the offers, the minor units that a push uses instead, whoever gets it"""


@dataclass(frozen=True, slots=True)
class Minimum:
    """At least so many pushes of some offers, or none of them at all."""

    name: str
    least: int
    offers: Sequence[int] | NDArray[np.integer]


class Scale(NamedTuple):
    """How large the numbers of some members' choices are."""

    cost: float
    """on average"""
    dearest: int
    value: float
    """on average, without its sign"""
    highest: float
    """likewise"""
    steps: Wide
    """shape (offers,): the greatest number that all costs of an offer are multiples of"""


class Rules(NamedTuple):
    """Limits, then minimums: a plan keeps `use <= bound`, where a minimum counts negatively."""

    bound: Wide
    """shape (rules,)"""
    sign: Wide
    """1, or -1 for a minimum"""
    offsets: Wide
    """shape (offers + 1,): where an offer's rules start; they ascend"""
    rules: Wide
    amount: Wide
    """shape of `rules`: what a push uses of the rule, as `uses` reads it"""

    @property
    def offer(self) -> Wide:
        """shape of `rules`: whose they are."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))

    def prices(self, price: Doubles) -> tuple[Doubles, Doubles]:
        """What the rules' prices make an offer cost: for a minor unit, and for the push."""
        size, paid, money = len(self.offsets) - 1, price[self.rules], self.amount == 0
        return (
            np.bincount(self.offer[money], paid[money], size).astype(np.float64),
            np.bincount(self.offer, paid * self.amount, size).astype(np.float64),
        )

    def most_used(self, dearest: int) -> Wide:
        """shape (rules,): the most that one push uses."""
        most = np.zeros(len(self.bound), np.int64)
        np.maximum.at(most, self.rules, np.where(self.amount == 0, dearest, self.amount))
        return most

    def mean_used(self, cost: float, offers: Wide | None = None) -> Doubles:
        """shape (rules,): what a push uses on average over the offers, or those that are named; 1
        where none is under the rule."""
        some = np.ones(len(self.rules), np.bool_)
        if offers is not None:
            some = np.isin(self.offer, offers)
        rule, used = self.rules[some], np.where(self.amount == 0, cost, np.abs(self.amount))[some]
        count = np.bincount(rule, minlength=len(self.bound))
        total = np.bincount(rule, used, len(self.bound))
        return np.where(count > 0, total / np.maximum(count, 1), 1.0)


def join(parts: Sequence[Choices]) -> Choices:
    """The members of all parts, one after the other."""
    ends = np.cumsum([0, *(len(part.value) for part in parts)])
    starts = [part.offsets[:-1] + end for part, end in zip(parts, ends[:-1], strict=True)]
    return Choices(
        np.concatenate([*starts, ends[-1:]]).astype(np.int64),
        np.concatenate([part.value for part in parts]),
        np.concatenate([part.cost for part in parts]),
        np.concatenate([part.offer for part in parts]),
    )


def check(
    choices: Choices, offers: int, limits: Sequence[Limit], minimums: Sequence[Minimum]
) -> None:
    """CampaignError that names the first row, limit or minimum that makes no sense."""
    if offers > MOST_OFFERS:
        raise CampaignError(f"{offers:,} offers are planned together; at most {MOST_OFFERS:,} can")
    for wrong, what in (
        (~np.isfinite(choices.value), "a value that is no finite number"),
        (choices.cost < 0, "a cost below zero"),
        (choices.offer >= offers, f"no place among the {offers} offers"),
    ):
        if wrong.any():
            at = int(wrong.argmax())
            row = int(np.searchsorted(choices.offsets, at, "right")) - 1
            raise CampaignError(f"The member in row {row}: offer {choices.offer[at]} has {what}")
    for limit in limits:
        amounts = limit.amounts if limit.amounts is not None else ()
        if limit.amounts is not None and len(amounts) != len(limit.offers):
            raise CampaignError(f"{limit.name} needs one amount for each of its offers")
        for offer, amount in zip(limit.offers, amounts, strict=False):
            if not 0 <= amount <= MOST_COST:
                raise CampaignError(f"{limit.name} has the amount {amount} for offer {offer}")
    for name, number, covered in (
        *((limit.name, limit.most, limit.offers) for limit in limits),
        *((minimum.name, minimum.least, minimum.offers) for minimum in minimums),
    ):
        if number < 0:
            raise CampaignError(f"{name} is {number}, below zero; set it to 0 or more")
        if len(covered) and not 0 <= min(covered) <= max(covered) < offers:
            raise CampaignError(f"{name} is about an offer that is not among the {offers}")


def scale_of(choices: Choices, rows: Rows, offers: int) -> Scale:
    """What those who are planned for have; rows: shape (planned members,)."""
    steps = np.zeros(offers, np.int64)
    cost, dearest, value, highest = survey(rows, choices, steps)
    return Scale(cost or 1.0, dearest, value or 1.0, highest, steps)


def rules_of(scale: Scale, limits: Sequence[Limit], minimums: Sequence[Minimum]) -> Rules:
    """The rules as arrays. A limit on money is lowered to what sums of its amounts can reach: where
    all are multiples of 100, so is what they add up to."""
    offers, bound, none = len(scale.steps), [], np.empty(0, np.int64)
    parts = [(none, none, none)]
    for at, limit in enumerate(limits):
        covered, first = np.unique(np.asarray(limit.offers, np.int64), return_index=True)
        amount = np.full(len(covered), 0 if limit.money else 1, np.int64)
        steps = scale.steps[covered] if limit.money else amount
        if limit.amounts is not None:
            steps = amount = np.asarray(limit.amounts, np.int64)[first]
            covered, amount = covered[amount > 0], amount[amount > 0]
        step = int(np.gcd.reduce(steps, initial=0))
        bound.append(limit.most - (limit.most % step if step else 0))
        parts.append((np.full(len(covered), at), covered, amount))
    for at, minimum in enumerate(minimums, len(limits)):
        covered = np.unique(np.asarray(minimum.offers, np.int64))
        bound.append(-minimum.least)
        parts.append((np.full(len(covered), at), covered, np.full(len(covered), -1)))
    rule, offer, amount = (np.concatenate(some) for some in zip(*parts, strict=True))
    order = np.argsort(offer, kind="stable")
    return Rules(
        np.array(bound, np.int64),
        np.array([1] * len(limits) + [-1] * len(minimums), np.int64),
        np.searchsorted(offer[order], np.arange(offers + 1)).astype(np.int64),
        rule[order],
        amount[order],
    )
