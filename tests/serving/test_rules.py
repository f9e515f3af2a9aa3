"""Every rule at once, over small random catalogues, against the plain definition of a list."""

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st

from recsys.features import session_weights
from recsys.model import Model
from serving.asking import DAY_US, Request, present
from serving.feed.contract import RecentEvent
from serving.models import open_current
from serving.placements import BUILT_IN, Placement
from serving.ranker import Ranker
from serving.recommend import answered, recommend
from serving.rotation import Rotation
from serving.rules import Asked, AtMost, Boost, Pin, Rules
from tests.serving.catalogues import (
    FILTERS,
    MEMBER,
    TODAY,
    Catalogue,
    Wanted,
    alike,
    allowed,
    catalogues,
    expected,
    model_of,
    pins,
    shelf,
)

NOW = round(TODAY * DAY_US)
filters = st.none() | st.sampled_from(sorted(FILTERS))


@cache
def opened(home: Path) -> Model:
    return open_current(home / "models")


@pytest.fixture
def like(small_model: Path) -> Model:
    return opened(small_model)


rules = st.builds(
    Rules,
    filter=filters,
    one_variant=st.booleans(),
    at_most=st.lists(
        st.builds(
            AtMost, st.sampled_from(["brand", "category"]), st.integers(1, 3), st.integers(1, 2)
        ),
        max_size=2,
    ).map(tuple),
    boosts=st.lists(
        st.builds(Boost, st.sampled_from(sorted(FILTERS)), st.sampled_from([-1.0, 0.25, 2.0, 9.0])),
        max_size=2,
    ).map(tuple),
    bury=filters,
    pins=st.dictionaries(st.integers(0, 25), st.integers(1, 6), max_size=3).map(
        lambda pins: tuple(
            Pin(place, f"p{row}") for place, row in {at: row for row, at in pins.items()}.items()
        )
    ),
)


@st.composite
def requests(draw: st.DrawFn, catalogue: Catalogue, of: Any = rules) -> Wanted:
    rows = st.integers(0, len(catalogue.products) - 1)
    kind = draw(st.sampled_from(sorted(BUILT_IN)))
    some = st.lists(rows, unique=True, max_size=4)
    rotation = draw(st.none() | st.builds(Rotation, logit=st.sampled_from([0.5, 2.0])))
    placement = Placement(BUILT_IN[kind].kind, BUILT_IN[kind].sources, draw(of), rotation=rotation)
    return Wanted(
        placement=placement,
        limit=draw(st.integers(1, len(catalogue.products) + 2)),
        known=draw(st.booleans()),
        seeds=draw(some) if kind in ("product", "cart") else [],
        session=[(row, 1.0) for row in draw(st.just([]) | st.lists(rows, max_size=1))],
        excluded=draw(some),
        filter=draw(filters),
        region=draw(st.none() | st.sampled_from(["north", "south", "nowhere"])),
        candidates=draw(st.lists(rows, unique=True)) if kind == "search" else None,
        rotated=draw(some) if rotation else [],
    )


def asked(catalogue: Catalogue, wanted: Wanted) -> tuple[Request, list[RecentEvent]]:
    ids = [catalogue.id(row) for row in range(len(catalogue.products))]
    request = Request(
        member_id=MEMBER if wanted.known else None,
        placement=wanted.placement,
        seeds=[ids[row] for row in wanted.seeds],
        excluded=[*(ids[row] for row in wanted.excluded), "unknown"],
        limit=wanted.limit,
        now=NOW,
        rest_hours=0,
        asked=Asked(wanted.filter, wanted.region),
        candidates=None
        if wanted.candidates is None
        else [*(ids[row] for row in wanted.candidates), "unknown"],
        rotated=[*(ids[row] for row in wanted.rotated), "unknown"] if wanted.rotated else [],
    )
    events = [
        RecentEvent("view", NOW, ids[row], None, None, None, None, None)
        for row, _ in wanted.session
    ]
    return request, events


def listed(ranker: Ranker, catalogue: Catalogue, wanted: Wanted) -> list[int]:
    return [int(item.product_id[1:]) for item in recommend(ranker, *asked(catalogue, wanted))]


hard = settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@hard
@given(data=st.data(), catalogue=catalogues())
def test_a_list_is_what_the_definition_says(
    like: Model, data: st.DataObject, catalogue: Catalogue
) -> None:
    model = model_of(catalogue, like)
    ranker = Ranker(model)
    for wanted in data.draw(st.lists(requests(catalogue), min_size=1, max_size=4)):
        weighed = weighed_session(ranker, catalogue, wanted)
        truth = expected(catalogue, weighed, model)
        found = listed(ranker, catalogue, wanted)
        assert found == truth.rows
        event(f"{wanted.placement.kind}, relaxed {truth.relaxed > 0}")
        assert (ranker.views.of(Rules(one_variant=False)).tables.places == -1).all()


def weighed_session(ranker: Ranker, catalogue: Catalogue, wanted: Wanted) -> Wanted:
    """The session's weights as the features define them; which a test of the ranker holds."""
    session = present(ranker, *asked(catalogue, wanted)).session
    weights = session_weights(NOW / DAY_US, session.days, session.kinds)
    pairs = list(zip(session.products.tolist(), weights.tolist(), strict=True))
    return replace(wanted, session=pairs)


@hard
@given(data=st.data(), catalogue=catalogues())
def test_a_list_is_full_of_distinct_allowed_products(
    like: Model, data: st.DataObject, catalogue: Catalogue
) -> None:
    wanted = data.draw(requests(catalogue))
    found = listed(Ranker(model_of(catalogue, like)), catalogue, wanted)
    there = {*shelf(catalogue, wanted), *pins(catalogue, wanted).values()}
    assert len(set(found)) == len(found) == min(wanted.limit, len(there))
    assert all(allowed(catalogue, wanted, row) for row in found)


@hard
@given(data=st.data(), catalogue=catalogues())
def test_debug_counts_what_a_recount_counts(
    like: Model, data: st.DataObject, catalogue: Catalogue
) -> None:
    wanted = data.draw(requests(catalogue))
    model = model_of(catalogue, like)
    ranker = Ranker(model)
    items, _, debug = answered(ranker, *asked(catalogue, wanted), debug=True)
    truth = expected(catalogue, weighed_session(ranker, catalogue, wanted), model)
    removed, filled, products = debug.removed, debug.filled, catalogue.products

    if wanted.candidates is None:
        left = catalogue.popular + catalogue.fresh
        assert removed.unknown == 0
    else:
        left = wanted.candidates
        assert removed.unknown == 1
    assert debug.considered == len(left)
    passing = lambda text: lambda row: text is None or FILTERS[text](products[row])  # noqa: E731
    for name, kept in {
        "out_of_stock": lambda row: products[row].in_stock,
        "placement": passing(wanted.rules.filter),
        "region": lambda row: (
            wanted.region is None
            or products[row].regions is None
            or wanted.region in products[row].regions
        ),
        "filter": passing(wanted.filter),
        "shown": lambda row: row not in wanted.seeds,
        "excluded": lambda row: row not in wanted.excluded,
        "resting": lambda row: True,
    }.items():
        there = [row for row in left if kept(row)]
        assert getattr(removed, name) == len(left) - len(there), name
        left = there
    assert debug.allowed == len(left) == len(shelf(catalogue, wanted))
    assert (removed.one_variant, removed.at_most) == (truth.variants, truth.alike)
    assert filled.relaxed == truth.relaxed
    places = filled.pins + filled.page + filled.member + filled.catalogue
    assert places == len(items)
    assert filled.new == 0


@hard
@given(data=st.data(), catalogue=catalogues())
def test_limits_hold_where_nothing_had_to_be_relaxed(
    like: Model, data: st.DataObject, catalogue: Catalogue
) -> None:
    wanted = data.draw(requests(catalogue))
    ranker = Ranker(model_of(catalogue, like))
    items, _, debug = answered(ranker, *asked(catalogue, wanted), debug=True)
    rows = [int(item.product_id[1:]) for item in items]
    pinned = [row for row, item in zip(rows, items, strict=True) if item.reason.code == "pinned"]
    if debug.filled.relaxed:
        return
    for most, of in alike(catalogue, wanted):
        for code in set(of) - {None}:
            # what the shop pinned may be more than the limit already
            over = max(most, sum(of[row] == code for row in pinned))
            assert sum(of[row] == code for row in rows) <= over


@hard
@given(data=st.data(), catalogue=catalogues())
def test_candidates_come_back_in_the_order_of_the_whole_ranking(
    like: Model, data: st.DataObject, catalogue: Catalogue
) -> None:
    soft = st.builds(
        Rules,
        one_variant=st.just(False),
        filter=filters,
        bury=filters,
        boosts=st.just(()) | st.just((Boost('brand = "A"', 1.0),)),
    )
    wanted = data.draw(requests(catalogue, soft))
    size = len(catalogue.products)
    ranker = Ranker(model_of(catalogue, like))
    whole = Wanted(Placement("home", BUILT_IN["search"].sources, wanted.rules), size, wanted.known)
    some = data.draw(st.lists(st.integers(0, size - 1), unique=True))
    part = Wanted(
        Placement("search", BUILT_IN["search"].sources, wanted.rules),
        size,
        wanted.known,
        candidates=some,
    )
    ranking = [row for row in listed(ranker, catalogue, whole) if row in some]
    found = listed(ranker, catalogue, part)
    ranked = [row for row in found if catalogue.products[row].place != "neither"]
    assert ranked == ranking
    never = [row for row in found if catalogue.products[row].place == "neither"]
    if not wanted.rules.bury:
        assert found == ranked + never
    assert set(found) == {row for row in some if allowed(catalogue, part, row)}


def test_a_filter_that_keeps_one_product_of_many_finds_it(small_model: Path) -> None:
    ranker = Ranker(opened(small_model))
    for row in range(60):
        price = float(ranker.model.prices[row])
        request = Request(
            member_id="m001", placement=BUILT_IN["home"], seeds=[], excluded=[], limit=10, now=NOW,
            rest_hours=0, asked=Asked(f"price = {price}"),
        )  # fmt: skip
        found = [item.product_id for item in recommend(ranker, request, [])]
        there = row in ranker.views.catalogue and bool(ranker.model.sellable[row])
        assert found == ([f"p{row:02d}"] if there else [])


def test_new_products_keep_the_limits_too(small_model: Path) -> None:
    model = opened(small_model)
    few = np.array([0, 7, 14, 21, 1], np.int32)  # four of one brand
    changed = replace(
        model,
        manifest={**model.manifest, "config": {**model.manifest["config"], "exploring": 0.3}},
        popular=model.popular[~np.isin(model.popular, few)],
        fresh_anybody=few,
    )
    ranker = Ranker(changed)
    limits = Rules(at_most=(AtMost("brand", 2),))
    for day in range(5):
        request = Request(
            member_id=None, placement=Placement("home", BUILT_IN["home"].sources, limits),
            seeds=[], excluded=[], limit=10, now=NOW + day * DAY_US, rest_hours=0,
        )  # fmt: skip
        items, _, debug = answered(ranker, request, [], debug=True)
        brands = [model.brands[int(item.product_id[1:])] for item in items]
        assert max(map(brands.count, brands)) <= 2
        assert debug.filled.new == sum(item.reason.code == "fresh" for item in items) >= 1
        assert len({item.product_id for item in items}) == 10
