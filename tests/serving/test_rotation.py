"""What was shown again and again moves down, inside a list that stays full."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from serving.asking import Request
from serving.explain import explain
from serving.feed.contract import Event, Recent, RecentEvent
from serving.feed.impressions import Notice, noticed
from serving.placements import BUILT_IN
from serving.recommend import answered, recommend
from serving.rotation import ACTS, Rotation, acts, rotated
from tests.serving.test_recommend import NOW_US, happened, ids, ranker_at, wanted
from tests.small_shop import MEMBERS, PRODUCTS

DAY = 1_440
NOW = NOW_US // 60_000_000
"""minutes since 1970"""
HOME = BUILT_IN["home"]
hard = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def event_of(kind: str, product: str | None, at: int) -> RecentEvent:
    return RecentEvent(kind, at * 60_000_000, product, None, None, None, None, None)


events = st.builds(
    event_of,
    st.sampled_from([*sorted(ACTS), "search", "return"]),
    st.sampled_from(["p", "q", None]),
    st.integers(NOW - 12 * DAY, NOW),
)
seen = st.builds(
    lambda ago, count: (NOW - ago) * 16 + count, st.integers(0, 12 * DAY), st.integers(1, 15)
)


@given(
    shown=st.dictionaries(st.sampled_from(["p", "q", "r"]), seen),
    recent=st.lists(events, max_size=5),
    rotation=st.builds(Rotation, st.integers(1, 4), st.sampled_from([1.0, 7.0])),
)
def test_a_product_moves_down_when_it_was_shown_so_often_since_anything_was_done_with_it(
    shown: dict[str, int], recent: list[RecentEvent], rotation: Rotation
) -> None:
    expected = []
    for product, number in shown.items():
        last, count = number // 16, number % 16
        acted = any(
            one.product_id == product and one.kind in ACTS and one.occurred_at // 60_000_000 >= last
            for one in recent
        )
        if count >= rotation.showings and NOW - last <= rotation.days * DAY and not acted:
            expected.append(product)
    assert rotated(rotation, Recent(recent, shown=shown), NOW_US) == expected
    assert rotated(None, Recent(recent, shown=shown), NOW_US) == []


def test_acts_are_what_somebody_did_with_a_product() -> None:
    def event(kind: str, product: str | None, **who: str) -> Event:
        return Event("e", kind, NOW_US, product, **who)

    found = acts(
        [
            event("click", "p1", member_id="ann"),
            event("purchase", "p2", visitor_id="vic"),
            event("view", "p3"),
            event("search", None, member_id="ann"),
            event("return", "p4", member_id="ann"),
        ]
    )
    assert found == [Notice("m:ann", NOW, ["p1"], None), Notice("v:vic", NOW, ["p2"], None)]


def down(request: Request, products: list[str], rotation: Rotation | None = None) -> Request:
    placement = replace(request.placement, rotation=rotation or Rotation())
    return Request(
        **{
            **{name: getattr(request, name) for name in request.__struct_fields__},
            "placement": placement,
            "rotated": products,
        }
    )


@pytest.mark.parametrize("model", ["small_model", "narrow_model"])
@hard
@given(
    member=st.sampled_from([*MEMBERS[:20], "a stranger", None]),
    placement=st.sampled_from(["home", "product", "cart"]),
    seeds=st.lists(st.sampled_from(PRODUCTS), max_size=4),
    tired=st.lists(st.sampled_from([*PRODUCTS, "no such product"]), unique=True, max_size=30),
    limit=st.integers(1, 20),
)
def test_a_list_stays_full_and_shows_nothing_else_than_it_may(
    *,
    request: pytest.FixtureRequest,
    model: str,
    member: str | None,
    placement: str,
    seeds: list[str],
    tired: list[str],
    limit: int,
) -> None:
    ranker = ranker_at(request.getfixturevalue(model))
    everything = wanted(member, placement=placement, seeds=seeds)
    assert set(ids(recommend(ranker, down(everything, tired), []))) == set(
        ids(recommend(ranker, everything, []))
    )
    short = wanted(member, limit, placement=placement, seeds=seeds)
    assert len(recommend(ranker, down(short, tired), [])) == limit


@hard
@given(
    member=st.sampled_from(MEMBERS),
    tired=st.lists(st.sampled_from(PRODUCTS), unique=True, max_size=10),
    logit=st.sampled_from([0.5, 2.0, 9.0]),
)
def test_a_score_falls_by_the_logit_but_not_of_what_is_bought_again_and_again(
    small_model: Path, member: str, tired: list[str], logit: float
) -> None:
    ranker = ranker_at(small_model)
    before = {one.product_id: one for one in recommend(ranker, wanted(member), [])}
    after = recommend(ranker, down(wanted(member), tired, Rotation(logit=logit)), [])
    of_list = {one.product_id: one for one in after}
    row = ranker.model.members.row(member)
    base = set(ranker.model.products.take(ranker.model.base.products[ranker.entries(row)]))
    for product in base & before.keys():
        falls = product in tired and before[product].reason.code != "again"
        expected = before[product].score - (logit if falls else 0)
        assert of_list[product].score == pytest.approx(expected, abs=2e-4)
    listed = [one.score for one in after if one.product_id in base]
    assert listed == sorted(listed, reverse=True)


def test_what_is_bought_again_and_again_keeps_its_place(small_model: Path) -> None:
    ranker = ranker_at(small_model)
    seen = 0
    for member in MEMBERS[:20]:
        found = recommend(ranker, wanted(member, 10), [])
        again = [one.product_id for one in found if one.reason.code == "again"]
        seen += len(again)
        assert ids(recommend(ranker, down(wanted(member, 10), again), [])) == ids(found)
    assert seen > 20


def test_on_the_shelf_it_stands_behind_the_others(small_model: Path) -> None:
    ranker = ranker_at(small_model)
    whole = ids(recommend(ranker, wanted(None), []))
    tired = [whole[0], whole[2], whole[5]]
    rest = [product for product in whole if product not in tired]
    assert ids(recommend(ranker, down(wanted(None), tired), [])) == [*rest, *tired]
    assert ids(recommend(ranker, down(wanted(None, 10), tired), [])) == rest[:10]


def test_a_list_shown_three_times_makes_room_and_comes_back(small_model: Path) -> None:
    """A month of one visit a day, played without HTTP."""
    ranker, member = ranker_at(small_model), "a stranger"
    shown: dict[str, int] = {}
    lists = []
    for visit in range(12):
        now = NOW_US + visit * 86_400_000_000
        tired = rotated(HOME.rotation, Recent([], shown=shown), now)
        found = answered(ranker, down(wanted(member, 10, now=now), tired), [])
        lists.append(set(ids(found.items)))
        noticed(shown, [Notice(member, now // 60_000_000, ids(found.items), Rotation().row)])
    assert lists[0] == lists[1] == lists[2]
    assert not lists[2] & lists[3]
    assert any(one == lists[0] for one in lists[7:]), "after a week they may be shown again"


def test_explain_says_what_rotation_takes_away(small_model: Path) -> None:
    ranker, member = ranker_at(small_model), MEMBERS[1]
    asked = wanted(member)
    tired = [one.product_id for one in recommend(ranker, asked, []) if one.reason.code != "again"]
    seen = 0
    for item, parts in explain(ranker, down(asked, tired), []):
        if parts.place is not None:
            total = parts.standing + parts.clock + parts.session + parts.boost + parts.rotation
            assert item.score == pytest.approx(total, abs=5e-3)
            seen += parts.rotation < 0
    assert seen > 3


def test_a_view_of_a_moment_ago_counts_at_once() -> None:
    shown = {"p": (NOW - 10) * 16 + 3}
    assert rotated(Rotation(), Recent([], shown=shown), NOW_US) == ["p"]
    assert rotated(Rotation(), Recent([happened("view", "p", 0.0)], shown=shown), NOW_US) == []
    assert rotated(Rotation(), Recent([happened("view", "p", 1.0)], shown=shown), NOW_US) == ["p"]
