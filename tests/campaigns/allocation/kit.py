"""Small problems, and their answers by trying everything."""

from dataclasses import dataclass, replace
from itertools import product

import numpy as np
from hypothesis import strategies as st

from benchmarks.allocation.instances import table_choices
from campaigns.allocation.allocate import Allocation, allocate
from campaigns.allocation.problem import Choices, Limit, Minimum


@dataclass(frozen=True)
class Problem:
    """Everything that `allocate` takes; value and cost as tables, NaN where not eligible."""

    value: np.ndarray
    cost: np.ndarray
    limits: list[Limit]
    minimums: list[Minimum]
    held: np.ndarray
    lots: np.ndarray

    @property
    def choices(self) -> Choices:
        return table_choices(self.value, self.cost, ~np.isnan(self.value))

    def solve(self) -> Allocation:
        return allocate(
            self.choices,
            offers=self.value.shape[1],
            limits=self.limits,
            minimums=self.minimums,
            held_out=self.held,
            lots=self.lots,
        )

    def offers(self, plan: Allocation) -> list[int]:
        """Each member's offer, -1 for nothing."""
        offer = self.choices.offer
        return [int(offer[at]) if at >= 0 else -1 for at in plan.chosen.tolist()]

    def at(self, rows: list[int]) -> "Problem":
        """The same with these members only, in this order."""
        return replace(
            self,
            value=self.value[rows],
            cost=self.cost[rows],
            held=self.held[rows],
            lots=self.lots[rows],
        )


def problem(value, cost, limits=(), minimums=(), *, held=(), lots=()) -> Problem:
    value = np.array(value, np.float64)
    cost = np.broadcast_to(np.array(cost, np.int64), value.shape)
    members = len(value)
    return Problem(
        value,
        cost,
        list(limits),
        list(minimums),
        np.array(held or [False] * members, np.bool_),
        np.array(lots or [(row + 0.5) / members for row in range(members)], np.float64),
    )


def used_of(limit: Limit, one: Problem, given: list[tuple[int, int]]) -> int:
    """What pushes, each a row and an offer, use of a limit."""
    offers = np.asarray(limit.offers).tolist()
    if limit.money:
        return sum(int(one.cost[row, offer]) for row, offer in given if offer in offers)
    amounts = [1] * len(offers) if limit.amounts is None else list(limit.amounts)
    return sum(amounts[offers.index(offer)] for _, offer in given if offer in offers)


def worth_of(one: Problem, offers: list[int]) -> float | None:
    """What a plan earns, recounted from the tables alone; None where it breaks a rule."""
    given = [(row, offer) for row, offer in enumerate(offers) if offer >= 0 and not one.held[row]]
    if any(np.isnan(one.value[row, offer]) for row, offer in given):
        return None
    if any(used_of(limit, one, given) > limit.most for limit in one.limits):
        return None
    for minimum in one.minimums:
        those = set(np.asarray(minimum.offers).tolist())
        if 0 < sum(o in those for _, o in given) < minimum.least:
            return None
    # Values are kept as float32.
    return float(sum(np.float64(np.float32(one.value[row, offer])) for row, offer in given))


def best_by_trying_all(one: Problem) -> float:
    """The optimum over every plan there is."""
    free = np.flatnonzero(~one.held).tolist()
    size = one.value.shape[1]
    found = 0.0
    for some in product(range(-1, size), repeat=len(free)):
        offers = [-1] * len(one.value)
        for row, offer in zip(free, some, strict=True):
            offers[row] = offer
        worth = worth_of(one, offers)
        if worth is not None:
            found = max(found, worth)
    return found


@st.composite
def problems(draw, *, most_members: int = 5, minimums: bool = True, held: bool = True) -> Problem:
    members, size = draw(st.integers(0, most_members)), draw(st.integers(1, 3))
    numbers = st.one_of(
        st.just(float("nan")), st.integers(-2, 6).map(float), st.floats(-3, 9, width=32)
    )
    value = np.array(
        [[draw(numbers) for _ in range(size)] for _ in range(members)], np.float64
    ).reshape(members, size)
    cost = np.array(
        [[draw(st.integers(0, 6)) for _ in range(size)] for _ in range(members)], np.int64
    ).reshape(members, size)
    some = st.lists(st.integers(0, size - 1), max_size=size, unique=True)
    limits = []
    for at in range(draw(st.integers(0, 3))):
        offers, of = draw(some), draw(st.sampled_from(["pushes", "costs", "amounts"]))
        amounts = [draw(st.integers(0, 6)) for _ in offers] if of == "amounts" else None
        most = draw(st.integers(0, 12))
        limits.append(Limit(f"limit {at}", most, offers, money=of == "costs", amounts=amounts))
    least = [
        Minimum(f"minimum {at}", draw(st.integers(0, 4)), draw(some))
        for at in range(draw(st.integers(0, 2)) if minimums else 0)
    ]
    lots = draw(st.permutations([(at + 0.5) / (members + 1) for at in range(members)]))
    out = [draw(st.booleans()) if held else False for _ in range(members)]
    return Problem(value, cost, limits, least, np.array(out, np.bool_), np.array(lots, np.float64))
