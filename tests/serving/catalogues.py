"""Small random catalogues as models, and what a list must be, in plain Python."""

import json
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from hypothesis import strategies as st

from recsys import features
from recsys.columns import Labels
from recsys.ids import IdIndex
from recsys.model import BaseLists, Model, Neighbours
from serving.placements import Placement
from serving.rules import Rules
from serving.views import LIFTED

TODAY = 20_000.25
BRANDS, CATEGORIES = ["A", "B", None], ["x > 1", "x > 2 > a", "y", None]
REGIONS = [None, (), ("north",), ("north", "south")]
SEASONS = ["spring", None]
MEMBER = "m"


@dataclass(frozen=True)
class Product:
    """What the catalogue says of one, and how it stands by itself."""

    brand: str | None
    category: str | None
    group: int
    price: float
    regions: tuple[str, ...] | None
    season: str | None
    in_stock: bool
    static: float
    place: str
    """ranked, fresh or neither"""


@dataclass(frozen=True)
class Catalogue:
    """Row by row; of one member, and what points where."""

    products: list[Product]
    own: list[tuple[int, float, int]]
    """product, static logit, day of the last order or 0"""
    near: list[list[tuple[int, float]]]
    pace: float

    def id(self, row: int) -> str:
        return f"p{row}"

    @property
    def popular(self) -> list[int]:
        ranked = [row for row, one in enumerate(self.products) if one.place == "ranked"]
        return sorted(ranked, key=lambda row: -self.products[row].static)

    @property
    def fresh(self) -> list[int]:
        return [row for row, one in enumerate(self.products) if one.place == "fresh"]


eighths = st.integers(-24, 24).map(lambda number: number / 8)


@st.composite
def catalogues(draw: st.DrawFn, most: int = 24) -> Catalogue:
    size = draw(st.integers(1, most))
    product = st.builds(
        Product,
        brand=st.sampled_from(BRANDS),
        category=st.sampled_from(CATEGORIES),
        group=st.integers(-1, 3),
        price=st.sampled_from([1.0, 2.5, 5.99, math.nan]),
        regions=st.sampled_from(REGIONS),
        season=st.sampled_from(SEASONS),
        in_stock=st.sampled_from([True, True, True, False]),
        static=eighths,
        place=st.sampled_from(["ranked", "ranked", "ranked", "fresh", "neither"]),
    )
    products = draw(st.lists(product, min_size=size, max_size=size))
    ranked = [row for row, one in enumerate(products) if one.place == "ranked"]
    some = st.lists(st.sampled_from(ranked), unique=True, max_size=8) if ranked else st.just([])
    own = [
        (row, draw(eighths), draw(st.sampled_from([0, 0, 19_000, 19_990, 19_999])))
        for row in draw(some)
    ]
    near = [
        [(to, draw(st.sampled_from([0.25, 0.5, 0.75]))) for to in draw(some) if to != row]
        for row in range(size)
    ]
    return Catalogue(products, own, near, draw(eighths))


def model_of(catalogue: Catalogue, like: Model) -> Model:
    """The catalogue as a model, with the weights of another."""
    products, own = catalogue.products, catalogue.own
    near = [sorted(one, key=lambda pair: -pair[1]) for one in catalogue.near]
    of: Callable[[str], list[Any]] = lambda name: [getattr(one, name) for one in products]  # noqa: E731
    regions = [None if one is None else json.dumps(one) for one in of("regions")]
    return replace(
        like,
        manifest={
            **like.manifest,
            "config": {**like.manifest["config"], "exploring": 0.0},
            "attributes": ["season"],
        },
        members=IdIndex.build([MEMBER]),
        products=IdIndex.build([catalogue.id(row) for row in range(len(products))]),
        base=BaseLists(
            np.array([0, len(own)]),
            np.array([row for row, _, _ in own], np.int32),
            np.array([static for _, static, _ in own], np.float16),
            np.zeros(len(own), np.uint8) + 4,
            np.array([day for _, _, day in own], np.uint16),
            np.full(len(own), 10, np.float16),
        ),
        near=Neighbours(
            np.cumsum([0, *map(len, near)]),
            np.array([to for one in near for to, _ in one], np.int32),
            np.array([cosine for one in near for _, cosine in one], np.float16),
            np.ones(sum(map(len, near)), np.int32),
        ),
        orders=np.ones(len(products), np.int32),
        brands=Labels.build(of("brand")),
        categories=Labels.build(of("category")),
        regions=Labels.build(regions),
        groups=np.array(of("group"), np.int32),
        attributes={"season": Labels.build(of("season"))},
        prices=np.array(of("price")),
        sellable=np.array(of("in_stock")),
        product_static=np.array(of("static"), np.float16),
        member_static=np.array([catalogue.pace], np.float16),
        popular=np.array(catalogue.popular, np.int32),
        fresh=np.full((1, 0), -1, np.int32),
        fresh_anybody=np.array(catalogue.fresh, np.int32),
    )


Test = Callable[[Product], bool]
FILTERS: dict[str, Test] = {
    'brand = "A"': lambda p: p.brand == "A",
    "price <= 5.99": lambda p: p.price <= 5.99,
    "price >= 5.99": lambda p: p.price >= 5.99,
    'category startswith "x"': lambda p: (p.category or "").startswith("x"),
    'category in ["y"] or price < 2': lambda p: p.category == "y" or p.price < 2,
    "brand is null": lambda p: p.brand is None,
    'season = "spring" and not brand = "B"': lambda p: p.season == "spring" and p.brand != "B",
    'regions contains "south"': lambda p: p.regions is not None and "south" in p.regions,
    "in_stock = false": lambda p: not p.in_stock,
}


@dataclass
class Wanted:
    """One request, in rows."""

    placement: Placement
    limit: int
    known: bool = True
    seeds: list[int] = field(default_factory=list)
    session: list[tuple[int, float]] = field(default_factory=list)
    excluded: list[int] = field(default_factory=list)
    filter: str | None = None
    region: str | None = None
    candidates: list[int] | None = None
    rotated: list[int] = field(default_factory=list)

    @property
    def rules(self) -> Rules:
        return self.placement.rules


def lift(catalogue: Catalogue, wanted: Wanted, row: int) -> float:
    product = catalogue.products[row]
    return sum(one.logit for one in wanted.rules.boosts if FILTERS[one.filter](product))


def fall(wanted: Wanted, row: int) -> float:
    """No product of these catalogues is bought again and again."""
    rotation = wanted.placement.rotation
    return rotation.logit if rotation and row in wanted.rotated else 0.0


def allowed(catalogue: Catalogue, wanted: Wanted, row: int) -> bool:
    product = catalogue.products[row]
    return (
        product.in_stock
        and all(FILTERS[text](product) for text in (wanted.rules.filter, wanted.filter) if text)
        and (wanted.region is None or product.regions is None or wanted.region in product.regions)
        and row not in wanted.excluded
        and row not in wanted.seeds
        and (wanted.candidates is None or row in wanted.candidates)
    )


def shelf(catalogue: Catalogue, wanted: Wanted) -> list[int]:
    """All that may be shown, as a list is filled up."""
    static = {row: one.static for row, one in enumerate(catalogue.products)}
    order = sorted(
        catalogue.popular, key=lambda row: -(static[row] + lift(catalogue, wanted, row))
    ) + sorted(catalogue.fresh, key=lambda row: -lift_of_fresh(catalogue, wanted, row))
    if wanted.candidates is not None:
        order += [row for row in wanted.candidates if catalogue.products[row].place == "neither"]
    return [row for row in order if allowed(catalogue, wanted, row)]


def pins(catalogue: Catalogue, wanted: Wanted) -> dict[int, int]:
    """Product by place, where the list reaches so far and the product may be shown."""
    row_of = {catalogue.id(row): row for row in range(len(catalogue.products))}
    return {
        pin.place: row_of[pin.product_id]
        for pin in sorted(wanted.rules.pins)
        if pin.product_id in row_of
        and pin.place <= wanted.limit
        and allowed(catalogue, wanted, row_of[pin.product_id])
    }


def lift_of_fresh(catalogue: Catalogue, wanted: Wanted, row: int) -> float:
    """They keep their order unless something is boosted at all."""
    if not wanted.rules.boosts:
        return 0.0
    return catalogue.products[row].static + lift(catalogue, wanted, row)


def page_list(catalogue: Catalogue, wanted: Wanted) -> list[int]:
    if "page" not in wanted.placement.sources:
        return []
    score = pointed_at(catalogue, [(seed, 1.0) for seed in wanted.seeds])
    score = {
        row: total * math.exp(lift(catalogue, wanted, row) - fall(wanted, row))
        for row, total in score.items()
    }
    return [row for row in by_score(score) if allowed(catalogue, wanted, row)]


def member_list(catalogue: Catalogue, wanted: Wanted, model: Model) -> list[int]:
    if "member" not in wanted.placement.sources:
        return []
    own = catalogue.own if wanted.known else []
    near = pointed_at(catalogue, wanted.session)
    category = [product.category for product in catalogue.products]
    last = {row: day for row, _, day in own}
    static = {row: logit for row, logit, _ in own}
    shift = catalogue.pace if wanted.known else 0.0
    boosted = [
        row
        for row in shelf(catalogue, wanted)
        if catalogue.products[row].place == "ranked" and lift(catalogue, wanted, row) > 0
    ]
    score = {}
    for row in dict.fromkeys([*static, *near, *boosted[:LIFTED]]):
        weights = model.blend.repeat if last.get(row, 0) else model.blend.new
        logit = static.get(row, catalogue.products[row].static + shift)
        if last.get(row, 0):
            clock = features.clock(TODAY, np.array([last[row]]), np.array([10.0]))
            logit += float((clock @ weights.part(features.CLOCK))[0])
        leaf = sum(
            weight
            for seen, weight in wanted.session
            if category[row] is not None and category[seen] == category[row]
        )
        session = features.session(
            np.array([near.get(row, 0.0)], np.float32), np.array([leaf], np.float32)
        )
        logit += float((session @ weights.part(features.SESSION))[0])
        score[row] = logit + lift(catalogue, wanted, row) - fall(wanted, row)
    return [row for row in by_score(score) if allowed(catalogue, wanted, row)]


def pointed_at(catalogue: Catalogue, seeds: list[tuple[int, float]]) -> dict[int, float]:
    found: dict[int, float] = {}
    for seed, weight in seeds:
        for to, cosine in sorted(catalogue.near[seed], key=lambda pair: -pair[1]):
            found[to] = found.get(to, 0.0) + weight * cosine
    return found


def by_score(score: dict[int, float]) -> list[int]:
    """Best first, of equals the first; differences that a float32 cannot hold are none."""
    return sorted(score, key=lambda row: -round(score[row], 5))


def alike(catalogue: Catalogue, wanted: Wanted) -> list[tuple[int, list[object]]]:
    """Each limit: how many, and what each product counts as (None: as nothing)."""
    limits: list[tuple[int, list[object]]] = []
    products = catalogue.products
    groups = [one.group if one.group >= 0 else None for one in products]
    if wanted.rules.one_variant:
        limits.append((1, list(groups)))
    for one in wanted.rules.at_most:
        of = [p.brand if one.of == "brand" else cut(p.category, one.level) for p in products]
        limits.append((one.most, list(of)))
    return limits


def cut(category: str | None, level: int) -> str | None:
    return None if category is None else " > ".join(category.split(" > ")[:level])


@dataclass
class Answer:
    """The list, and what the two limits passed over."""

    rows: list[int]
    variants: int
    alike: int
    relaxed: int


def expected(catalogue: Catalogue, wanted: Wanted, model: Model) -> Answer:
    """The list by its definition: in order, what is buried behind, under the limits while there is
    anything, then with one variant of each, then anyhow; pins at their places."""
    whole = [
        *page_list(catalogue, wanted),
        *member_list(catalogue, wanted, model),
        *sorted(shelf(catalogue, wanted), key=lambda row: row in wanted.rotated),
    ]
    bury = FILTERS[wanted.rules.bury] if wanted.rules.bury else lambda _: False
    order = sorted(dict.fromkeys(whole), key=lambda row: bury(catalogue.products[row]))
    placed = pins(catalogue, wanted)
    limits = alike(catalogue, wanted)
    rest = [row for row in order if row not in placed.values()]
    chosen, within, passed = greedy(rest, list(placed.values()), limits, wanted)
    variants = passed[0] if wanted.rules.one_variant else 0
    result = list(chosen)
    for place, row in placed.items():
        result.insert(place - 1, row)
    return Answer(result, variants, sum(passed.values()) - variants, len(chosen) - within)


def greedy(
    rest: Sequence[int], pinned: list[int], limits: list[tuple[int, list[object]]], wanted: Wanted
) -> tuple[list[int], int, Counter[int]]:
    room = wanted.limit - len(pinned)
    chosen: list[int] = []
    passed: Counter[int] = Counter()

    def broken(row: int, held: list[tuple[int, list[object]]]) -> int | None:
        for at, (most, of) in enumerate(held):
            there = sum(of[other] == of[row] for other in (*pinned, *chosen))
            if of[row] is not None and there >= most:
                return at
        return None

    within = 0
    variants_alone = limits[:1] if wanted.rules.one_variant else []
    for step, held in enumerate((limits, variants_alone, [])):
        for row in rest:
            if len(chosen) == room:
                break
            if row in chosen:
                continue
            at = broken(row, held)
            if at is None:
                chosen.append(row)
            elif step == 0:
                passed[at] += 1
        if step == 0:
            within = len(chosen)
    return chosen, within, passed
