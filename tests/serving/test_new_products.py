"""Products too new to be ranked get the stated share of places, and nobody loses a full list."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from serving.models import open_current
from serving.ranker import Ranker
from serving.recommend import answered, recommend
from tests.serving.test_recommend import DAY_US, NOW_US, happened, ids, wanted
from tests.small_shop import MEMBERS, PRODUCTS

NEW = PRODUCTS[:3]


@pytest.fixture(scope="module")
def ranker(small_model: Path) -> Ranker:
    """The small shop's, with three of its products taken for new ones."""
    model = open_current(small_model / "models")
    rows = [model.products.row(product) for product in NEW]
    assert None not in rows
    few = np.array(rows, np.int32)
    base = model.base.static.copy()
    base[np.isin(model.base.products, few)] = -60  # nothing else puts them on a list
    popular = model.popular[~np.isin(model.popular, few)]
    return Ranker(
        replace(
            model,
            base=replace(model.base, static=base),
            popular=popular,
            fresh=np.tile(few, (len(model.members), 1)),
            fresh_anybody=few,
        )
    )


def shown(ranker: Ranker, member: str | None, day: int = 0, **more: object) -> list[str]:
    now = NOW_US + day * DAY_US
    return ids(recommend(ranker, wanted(member, **({"limit": 10, "now": now} | more)), []))


def test_their_share_of_all_places_is_the_stated_one(ranker: Ranker) -> None:
    lists = [shown(ranker, member, day) for member in MEMBERS for day in range(10)]
    places = [product in NEW for one in lists for product in one]
    assert np.mean(places) == pytest.approx(ranker.model.exploring, abs=0.006)
    assert all(len(set(one)) == 10 for one in lists)
    assert {product for one in lists for product in one[-1:] if product in NEW} == set(NEW)


def test_they_stand_last_and_take_no_other_place(ranker: Ranker) -> None:
    for member in [*MEMBERS[:40], None]:
        found = shown(ranker, member, limit=40)
        at = [place for place, product in enumerate(found) if product in NEW]
        assert at == list(range(40 - len(at), 40))
        assert 2 <= len(at) <= 3


def test_what_is_excluded_or_bought_since_is_not_shown_as_new(ranker: Ranker) -> None:
    asked = wanted(MEMBERS[0], limit=40, excluded=[NEW[0]])
    found = ids(recommend(ranker, asked, [happened("purchase", NEW[1], hours_ago=72)]))
    assert not {NEW[0], NEW[1]} & set(found)
    assert NEW[2] in found


def test_they_say_what_they_are(ranker: Ranker) -> None:
    items = recommend(ranker, wanted(MEMBERS[0], limit=40), [])
    assert items[-1].source == items[-1].reason.code == "fresh"
    assert items[-1].reason.text == "New in the shop"
    scores = [item.score for item in items]
    assert scores == sorted(scores, reverse=True)


def test_what_was_drawn_carries_its_chance(ranker: Ranker) -> None:
    last = []
    for member in MEMBERS:
        picks = answered(ranker, wanted(member, limit=10), []).picks
        assert [pick.chance for pick in picks[:-1]] == [1.0] * 9, "only the last place is drawn"
        assert picks[-1].chance == pytest.approx(10 * ranker.model.exploring)
        last.append(picks[-1].reason == "fresh")
    assert np.mean(last) == pytest.approx(10 * ranker.model.exploring, abs=0.11)
    # 5 % of 20 places is one, whoever asks
    certain = answered(ranker, wanted(MEMBERS[0], limit=20), []).picks
    assert {pick.chance for pick in certain} == {1.0}
    third = answered(ranker, wanted(MEMBERS[0], limit=25), []).picks
    assert third[-2].chance + third[-1].chance in (1.25, 1.75)
