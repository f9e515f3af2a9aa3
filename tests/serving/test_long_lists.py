"""Base lists longer than what a request looks at first: what lies deep is found where rules need
it, before anything from the catalogue."""

from pathlib import Path

import pytest

from recsys.model import Model
from serving.asking import DAY_US, Request
from serving.kernel import FIRST
from serving.models import open_current
from serving.placements import BUILT_IN, Placement
from serving.ranker import Ranker
from serving.recommend import recommend
from serving.rules import Asked, AtMost, Rules
from tests.serving.catalogues import MEMBER, TODAY, Catalogue, Product, Wanted, expected, model_of

LISTED, SIZE = 3 * FIRST, 4 * FIRST
SPRING = 'season = "spring" and not brand = "B"'
HOME = BUILT_IN["home"].sources
PLAIN = Placement("home", HOME, Rules(one_variant=False))
OF_BRANDS = Placement("home", HOME, Rules(one_variant=False, at_most=(AtMost("brand", 2),)))


@pytest.fixture(scope="module")
def like(small_model: Path) -> Model:
    return open_current(small_model / "models")


def product(row: int) -> Product:
    """One brand for all that a request looks at first, and spring for one in twenty."""
    brand = "A" if row < FIRST + 20 else "B" if row < FIRST + 60 else None
    spring = "spring" if row % 20 == 3 else None
    return Product(brand, None, -1, 1.0, None, spring, True, row / 8, "ranked")


CATALOGUE = Catalogue(
    [product(row) for row in range(SIZE)],
    [(row, (SIZE - row) / 8, 0) for row in range(LISTED)],  # the shelf has it the other way round
    [[] for _ in range(SIZE)],
    0.0,
)


@pytest.mark.parametrize(
    "wanted",
    [
        Wanted(PLAIN, 20),
        Wanted(PLAIN, 20, filter=SPRING),
        Wanted(PLAIN, 5, filter=SPRING),
        Wanted(OF_BRANDS, 20),
        Wanted(OF_BRANDS, 20, filter=SPRING),
        Wanted(PLAIN, 20, excluded=list(range(FIRST))),
        Wanted(PLAIN, 2 * FIRST),
    ],
)
def test_a_list_is_that_of_its_definition_over_the_whole_base_list(
    like: Model, wanted: Wanted
) -> None:
    ranker = Ranker(model_of(CATALOGUE, like))
    request = Request(
        member_id=MEMBER,
        placement=wanted.placement,
        seeds=(),
        excluded=[CATALOGUE.id(row) for row in wanted.excluded],
        limit=wanted.limit,
        now=round(TODAY * DAY_US),
        rest_hours=0,
        asked=Asked(filter=wanted.filter),
    )
    rows = [int(item.product_id[1:]) for item in recommend(ranker, request, [])]
    assert rows == expected(CATALOGUE, wanted, ranker.model).rows
