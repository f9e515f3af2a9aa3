"""What each member may be given, over all campaigns that are planned together."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from campaigns.allocation.problem import MOST_COST, Choices, join
from campaigns.offers import ENDLESS, OfferSource, minor
from recsys.errors import CampaignError

_CHUNK = 20_000
"""members: with 1,000 coupons 160 MB at a time"""

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Eligible:
    """The members whom nothing but the limits keeps from one campaign's push."""

    campaign: str
    source: OfferSource
    coupons: list[str]
    rows: Rows
    """shape (eligible,): places among all members, ascending"""
    held: NDArray[np.bool_]
    """shape (eligible,): held out of this campaign"""
    gains_only: bool
    """whether a push that loses money may be left out: no minimum asks for it"""


@dataclass(frozen=True, slots=True)
class Table:
    """Choices, and what the numbers of the offers mean."""

    members: list[str]
    choices: Choices
    offers: list[tuple[str, str]]
    """(campaign, coupon); the last offer, which is not among them, is to keep the slot"""
    campaign: NDArray[np.int64]
    """shape (offers + 1,): which of the campaigns an offer belongs to; -1 for the last"""
    cost: NDArray[np.int64]
    """shape (offers + 1,): minor units"""
    most_off: NDArray[np.int64]
    """likewise, off an order at most; ENDLESS where nothing limits it"""


def table_of(
    eligible: Sequence[Eligible],
    members: list[str],
    *,
    kept: Mapping[str, float],
    minor_units: int,
) -> Table:
    """Asks each campaign's source in chunks. kept: member → what it is worth to keep their slot.

    CampaignError for a value that is no number and for a cost that makes no sense.
    """
    offers = [(one.campaign, coupon) for one in eligible for coupon in one.coupons]
    sizes = [len(one.coupons) for one in eligible]
    first = np.cumsum([0, *sizes])
    cost = np.zeros(len(offers) + 1, np.int64)
    most_off = np.zeros_like(cost)
    for one, at in zip(eligible, first, strict=False):
        priced = one.source.offers([])
        named = slice(int(at), int(at) + len(one.coupons))
        cost[named] = list(_minor("cost", priced.coupon_ids, priced.cost, minor_units))
        most_off[named] = list(_minor("discount", priced.coupon_ids, priced.most_off, minor_units))
    parts = []
    for start in range(0, len(members), _CHUNK):
        some = members[start : start + _CHUNK]
        found = [
            _valued(one, some, start=start, first=int(at))
            for one, at in zip(eligible, first, strict=False)
        ]
        found.append(_kept(some, kept, len(offers)))
        parts.append(_choices(found, len(some), cost))
    campaign = np.append(np.repeat(np.arange(len(eligible)), sizes), -1)
    parts = parts or [_choices([_kept([], kept, len(offers))], 0, cost)]  # nobody at all
    return Table(members, join(parts), offers, campaign, cost, most_off)


_Found = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]
"""rows in the chunk, offers, values"""


def _valued(one: Eligible, some: list[str], *, start: int, first: int) -> _Found:
    low, high = np.searchsorted(one.rows, [start, start + len(some)])
    rows = one.rows[low:high] - start
    asked = [some[row] for row in rows.tolist()]
    if not asked:
        return rows, rows, np.empty(0)
    offers = one.source.offers(asked)
    wrong = np.isnan(offers.value) | (offers.value == np.inf)
    if wrong.any():
        row, column = np.argwhere(wrong)[0].tolist()
        raise CampaignError(
            f"The value of coupon '{offers.coupon_ids[column]}' for member '{asked[row]}' is "
            f"{offers.value[row, column]}, no number; train and publish another model"
        )
    worth = offers.value > 0 if one.gains_only else np.isfinite(offers.value)
    row, column = np.nonzero(worth)
    return rows[row], first + column, offers.value[row, column]


def _minor(
    what: str, coupons: Sequence[str], money: NDArray[np.float64], units: int
) -> Iterator[int]:
    for coupon, one in zip(coupons, money.tolist(), strict=True):
        if what == "discount" and one == np.inf:
            yield ENDLESS
        elif not 0 <= one * units <= MOST_COST:
            raise CampaignError(
                f"The {what} of coupon '{coupon}' is {one:g}; it must be from 0 to "
                f"{MOST_COST / units:,.0f}"
            )
        else:
            yield minor(one, units)


def _kept(some: list[str], kept: Mapping[str, float], offer: int) -> _Found:
    rows = np.array([row for row, member in enumerate(some) if member in kept], np.int64)
    value = np.array([kept[some[row]] for row in rows.tolist()], np.float64)
    return rows, np.full(len(rows), offer, np.int64), value


def _choices(found: Sequence[_Found], members: int, cost: NDArray[np.int64]) -> Choices:
    row, offer, value = (np.concatenate(column) for column in zip(*found, strict=True))
    order = np.argsort(row, kind="stable")
    counts = np.bincount(row, minlength=members)
    return Choices(
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        value[order].astype(np.float32),
        cost[offer[order]].astype(np.int32),
        offer[order].astype(np.uint16),
    )
