"""The shop's placements: what the file may say, what a slip is told, and that it is obeyed."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recsys.errors import ModelError, SettingsError
from serving.models import open_current
from serving.placements import BUILT_IN
from serving.placements_file import load_placements
from serving.rules import AtMost, Boost, Pin, Rules
from tests.serving.live import RECOMMENDATIONS, in_process, items, products, service
from tests.small_shop import MEMBERS, SOLD_OUT, category

WHOLE = """
home:
  at_most:
    - {of: brand, most: 2}
    - {of: category, level: 2, most: 3}
  bury: brand = "brand 0"
strip:
  like: cart
  limit: 3
  rest_hours: 48
  sources: [page]
  filter: price < 10
  one_variant: false
  boosts:
    - {filter: 'category startswith "DEPARTMENT 1"', logit: 0.5}
  pins: {1: p07, 3: p58, 2: p02}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "placements.yaml"
    path.write_text(text)
    return path


def test_a_file_says_what_differs_from_the_built_in_ones(tmp_path: Path) -> None:
    found = load_placements(written(tmp_path, WHOLE)).named
    assert list(found) == [*BUILT_IN, "strip"]
    assert found["search"] == BUILT_IN["search"]
    home, strip = found["home"], found["strip"]
    assert home.rules == Rules(
        at_most=(AtMost("brand", 2), AtMost("category", 3, 2)), bury='brand = "brand 0"'
    )
    assert (home.kind, home.sources, home.limit) == ("home", BUILT_IN["home"].sources, 20)
    assert (strip.kind, strip.sources, strip.limit) == ("cart", {"page"}, 3)
    assert strip.rest_hours == 48
    assert strip.rules == Rules(
        filter="price < 10",
        one_variant=False,
        boosts=(Boost('category startswith "DEPARTMENT 1"', 0.5),),
        pins=(Pin(1, "p07"), Pin(3, "p58"), Pin(2, "p02")),
    )


def test_without_a_file_or_with_an_empty_one_the_built_in_ones_are_there(tmp_path: Path) -> None:
    assert load_placements(None).named == BUILT_IN
    assert load_placements(written(tmp_path, "# later\n")).named == BUILT_IN


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("home:\n  limt: 3", r":2: home\.limt: unknown key; did you mean 'limit'\?"),
        ("home: {filter: 'price <'}", r":1: home\.filter: .* ends too early"),
        (
            "home:\n  boosts:\n  - {filter: price < 3}",
            r":3: home\.boosts\.0\.logit: Field required",
        ),
        ("home:\n  at_most:\n  - {of: shop, most: 1}", r":3: home\.at_most\.0\.of: .*'brand'"),
        ("home:\n  at_most:\n  - {of: brand, most: 0}", r"home\.at_most\.0\.most: .*greater"),
        ("home: {at_most: [{of: brand, most: 1, level: 2}]}", "leave level out"),
        ("home: {pins: {0: p01}}", r":1: home\.pins\.0"),
        ("home: {pins: {1: p01, 2: p01}}", "name each product once"),
        ("home: {sources: [page, moon]}", r"home\.sources\.1"),
        ("strip: {limit: 3}", r":1: strip is the shop's own; say like: one of home, product"),
        ("home: {like: cart}", ":1: home is built in; leave 'like' out"),
        ("- home", "must hold placements by name"),
        ("home: [", "is not YAML"),
    ],
)
def test_a_slip_is_told_file_placement_key_and_mend(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SettingsError, match=said) as error:
        load_placements(path)
    assert str(path) in str(error.value)


def test_the_example_of_the_documents_is_one(small_model: Path, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "run.md").read_text()
    (example,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    found = load_placements(written(tmp_path, example))
    found.check(open_current(small_model / "models"))
    assert found.named["checkout-strip"].rules.pins == (Pin(1, "1082185"),)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml cannot be read"):
        load_placements(tmp_path / "nowhere.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("home: {bury: colour = 1}", r"placements\.yaml: home\.bury: Unknown field 'colour'"),
        ('home: {boosts: [{filter: price = "a", logit: 1}]}', r"home\.boosts\.0\.filter: .*number"),
    ],
)
@pytest.mark.anyio
async def test_a_filter_that_the_model_cannot_answer_stops_the_start(
    small_model: Path, tmp_path: Path, text: str, said: str
) -> None:
    path = written(tmp_path, text)
    with pytest.raises(SettingsError, match=said):
        load_placements(path).check(open_current(small_model / "models"))
    with pytest.raises(ModelError, match=said):
        async with in_process(service(small_model, str(tmp_path / "feed"), placements=path)):
            pass


def test_what_speaks_against_a_model_is_told_at_once(small_model: Path, tmp_path: Path) -> None:
    path = written(
        tmp_path,
        """
        home: {filter: 'category startswith "Nowhere"', bury: colour = 1}
        cart: {filter: price < 5, boosts: [{filter: 'brand = "Nobody"', logit: 1}]}
        """,
    )
    empty, unknown = load_placements(path).misfits(open_current(small_model / "models"))
    assert empty == (
        f'{path}: home.filter: no product passes category startswith "Nowhere", '
        "so nothing could stand there"
    )
    assert unknown.startswith(f"{path}: home.bury: Unknown field 'colour'")


@pytest.mark.anyio
async def test_placements_are_obeyed_and_their_names_may_be_asked_for(
    small_model: Path, tmp_path: Path
) -> None:
    path = written(tmp_path, WHOLE)
    async with in_process(service(small_model, str(tmp_path / "feed"), placements=path)) as client:
        for member in MEMBERS[:20]:
            found = products(await items(client, member_id=member, limit=8))
            numbers = np.array([int(product[1:]) for product in found])
            assert np.bincount(numbers % 7).max() <= 2
            aisles = [category(product).rsplit(" > ", 1)[0] for product in found]
            assert max(map(aisles.count, aisles)) <= 3
            assert (numbers % 7 != 0).all()
        strip: list[dict[str, Any]] = await items(client, placement="strip", cart="p10")
        assert products(strip)[:2] == ["p07", "p02"], "the third is sold out"
        assert len(strip) == 3
        assert SOLD_OUT not in products(strip)
        assert [item["reason"]["code"] for item in strip] == ["pinned", "pinned", "together"]
        whole = await items(client, member_id=MEMBERS[0], limit=100)
        assert len(whole) == 58, "limits give way before places stay empty"
        buried = [at for at, one in enumerate(products(whole)) if int(one[1:]) % 7 == 0]
        answer = await client.get(RECOMMENDATIONS, params={"limit": 100, "debug": True})
        debug = answer.json()["debug"]
        within = 58 - debug["filled"]["relaxed"]
        assert min(buried) >= within - 2
        assert debug["removed"]["at_most"] == debug["filled"]["relaxed"] > 0
