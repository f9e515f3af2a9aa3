from collections import defaultdict
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.history import KINDS, PURCHASE, History, repeats

N_PRODUCTS = 5
ROW = st.tuples(
    st.integers(0, N_PRODUCTS - 1), st.integers(0, 40), st.sampled_from(range(len(KINDS)))
)
MEMBERS = st.lists(st.lists(ROW, max_size=8), max_size=5)
Row = tuple[int, int, int]


def history_of(members: list[list[Row]]) -> History:
    """Rows (product, day, kind) of each member; the day is the order, too."""
    rows = [sorted(rows, key=lambda row: row[1]) for rows in members]
    flat = [row for member in rows for row in member]
    table = np.array(flat, np.int64).reshape(len(flat), 3)
    return History(
        np.concatenate(([0], np.cumsum([len(member) for member in rows], dtype=np.int64))),
        table[:, 0].astype(np.int32),
        table[:, 1] + 0.5,
        table[:, 1].astype(np.int32),
        table[:, 2].astype(np.uint8),
        table[:, 1].astype(np.float32),
    )


def listed(history: History) -> list[list[Row]]:
    """Back to what `history_of` takes."""
    rows = list(
        zip(
            history.products.tolist(),
            np.floor(history.days).astype(int).tolist(),
            history.kinds.tolist(),
            strict=True,
        )
    )
    ends = history.offsets.tolist()
    return [rows[a:b] for a, b in pairwise(ends)]


def by_day(rows: list[Row]) -> list[Row]:
    return sorted(rows, key=lambda row: row[1])


@given(MEMBERS, st.integers(0, 41))
def test_before_keeps_what_had_happened_and_every_member(
    members: list[list[Row]], day: int
) -> None:
    found = history_of(members).before(day + 0.5)
    assert listed(found) == [[row for row in by_day(rows) if row[1] < day] for rows in members]
    assert (found.amounts == found.orders).all()


@given(MEMBERS)
def test_purchases_are_the_purchases(members: list[list[Row]]) -> None:
    expected = [[row for row in by_day(rows) if row[2] == PURCHASE] for rows in members]
    assert listed(history_of(members).purchases()) == expected


@given(MEMBERS, st.floats(1, 100))
def test_repeats_fold_what_a_dictionary_folds(members: list[list[Row]], decay: float) -> None:
    days: dict[tuple[int, int], list[float]] = defaultdict(list)
    for member, rows in enumerate(members):
        for product, day, _ in by_day(rows):
            days[member, product].append(day + 0.5)
    found = repeats(history_of(members), N_PRODUCTS)
    pairs = sorted(days)
    members_of, products = found.members().tolist(), found.products.tolist()
    assert list(zip(members_of, products, strict=True)) == pairs
    assert found.counts.tolist() == [len(days[pair]) for pair in pairs]
    assert found.first.tolist() == [days[pair][0] for pair in pairs]
    assert found.last.tolist() == [days[pair][-1] for pair in pairs]
    assert len(found.offsets) == len(members) + 1
    expected = [sum(np.exp((day - 50) / decay) for day in days[pair]) for pair in pairs]
    np.testing.assert_allclose(found.decayed(50.0, decay), expected, rtol=1e-5)
