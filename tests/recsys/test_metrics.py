from math import log2

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys import metrics
from recsys.metrics import Ranking

PAIRS = st.dictionaries(
    st.tuples(st.integers(0, 6), st.integers(0, 8)),
    st.sampled_from([-np.inf, -2.0, 0.0, 0.25, 0.5, 1.0]),
    max_size=40,
)
TRUTH = st.sets(st.tuples(st.integers(0, 8), st.integers(0, 9)), max_size=30)


def columns(pairs: list[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    table = np.array(pairs, np.int32).reshape(len(pairs), 2)
    return table[:, 0], table[:, 1]


def ranked(scored: dict[tuple[int, int], float], k: int) -> Ranking:
    return metrics.ranking(*columns(list(scored)), np.array(list(scored.values()), np.float32), k=k)


def slow_lists(scored: dict[tuple[int, int], float], k: int) -> dict[int, list[int]]:
    lists: dict[int, list[int]] = {}
    for (member, product), score in sorted(scored.items(), key=lambda at: (-at[1], at[0][1])):
        if score > -np.inf and len(lists.setdefault(member, [])) < k:
            lists[member].append(product)
    return lists


@given(PAIRS, st.integers(1, 9))
def test_a_ranking_is_each_members_best_with_ties_to_the_smaller_row(
    scored: dict[tuple[int, int], float], k: int
) -> None:
    found = ranked(scored, k)
    lists: dict[int, list[int]] = {}
    for member, product, rank in zip(found.members, found.products, found.ranks, strict=True):
        assert rank == len(lists.setdefault(int(member), []))
        lists[int(member)].append(int(product))
    assert lists == slow_lists(scored, k)


@given(PAIRS, TRUTH, st.integers(1, 9))
def test_the_metrics_are_those_of_their_definitions(
    scored: dict[tuple[int, int], float], truth: set[tuple[int, int]], k: int
) -> None:
    found = metrics.evaluate(ranked(scored, k), *columns(sorted(truth)), k=k)
    lists = slow_lists(scored, k)
    wanted = {member: {p for m, p in truth if m == member} for member, _ in sorted(truth)}
    assert found.members.tolist() == sorted(wanted)
    for at, member in enumerate(found.members.tolist()):
        hits = [rank for rank, p in enumerate(lists.get(member, [])) if p in wanted[member]]
        ideal = sum(1 / log2(rank + 2) for rank in range(min(k, len(wanted[member]))))
        assert found.recall[at] == pytest.approx(len(hits) / len(wanted[member]))
        assert found.ndcg[at] == pytest.approx(sum(1 / log2(rank + 2) for rank in hits) / ideal)
        assert found.hit_rate[at] == bool(hits)


def test_members_without_truth_are_left_out_and_those_without_a_list_score_nothing() -> None:
    scores = metrics.evaluate(
        ranked({(1, 1): 1.0, (2, 2): 1.0}, 5), *columns([(2, 2), (2, 3), (7, 1)]), k=5
    )
    assert scores.members.tolist() == [2, 7]
    assert scores.means() == pytest.approx(
        {"recall": 0.25, "ndcg": 0.5 / (1 + 1 / log2(3)), "hit_rate": 0.5}
    )
    assert scores.means(scores.members == 2)["recall"] == 0.5


def test_a_perfect_list_scores_one_even_where_the_truth_is_longer_than_k() -> None:
    truth = [(0, product) for product in range(6)]
    scores = metrics.evaluate(ranked(dict.fromkeys(truth, 1.0), 3), *columns(truth), k=3)
    assert scores.ndcg.tolist() == [1.0]
    assert scores.recall.tolist() == [0.5]


def test_means_over_nobody_are_no_number() -> None:
    scores = metrics.evaluate(ranked({}, 3), *columns([]), k=3)
    assert np.isnan(list(scores.means().values())).all()
