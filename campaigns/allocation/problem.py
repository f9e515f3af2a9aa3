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
    """At most so much of some offers together: pushes, or money."""

    name: str
    most: int
    """pushes, or minor units of their costs"""
    offers: Sequence[int] | NDArray[np.integer]
    money: bool = False


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
    money: NDArray[np.bool_]
    sign: Wide
    """1, or -1 for a minimum"""
    offsets: Wide
    """shape (offers + 1,): where an offer's rules start; they ascend"""
    rules: Wide

    def prices(self, price: Doubles) -> tuple[Doubles, Doubles]:
        """What the rules' prices make an offer cost: for a minor unit, and for the push."""
        size = len(self.offsets) - 1
        offer = np.repeat(np.arange(size), np.diff(self.offsets))
        signed, money = (price * self.sign)[self.rules], self.money[self.rules]
        return (
            np.bincount(offer[money], signed[money], size).astype(np.float64),
            np.bincount(offer[~money], signed[~money], size).astype(np.float64),
        )


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
    """The rules as arrays. A money limit is lowered to what sums of its costs can reach: where
    all are multiples of 100, so is what they add up to."""
    offers = len(scale.steps)
    those = [*(one.offers for one in limits), *(one.offers for one in minimums)]
    covered = [np.unique(np.asarray(some, np.int64)) for some in those]
    rule = np.repeat(np.arange(len(covered)), [len(one) for one in covered])
    offer = np.concatenate([np.empty(0, np.int64), *covered])
    order = np.argsort(offer, kind="stable")
    bound = [*(one.most for one in limits), *(-one.least for one in minimums)]
    for at, limit in enumerate(limits):
        step = int(np.gcd.reduce(scale.steps[covered[at]], initial=0)) if limit.money else 0
        bound[at] -= bound[at] % step if step else 0
    return Rules(
        np.array(bound, np.int64),
        np.array([*(one.money for one in limits), *(False for _ in minimums)], np.bool_),
        np.array([1] * len(limits) + [-1] * len(minimums), np.int64),
        np.searchsorted(offer[order], np.arange(offers + 1)).astype(np.int64),
        rule[order].astype(np.int64),
    )
