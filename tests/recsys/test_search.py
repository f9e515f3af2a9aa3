"""What is typed finds what it says, whoever types whatever, in both scripts."""

import sqlite3
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recsys.errors import ModelError
from recsys.search import MATCHES, READ, Description, Search, SearchIndex, index, words

SHELF = [
    Description("Organic Tomatoes 500ml", "Grocery > Vegetables", "Dole"),
    Description("Tomato Soup", "Grocery > Soups", "Heinz"),
    Description("Crème Brûlée", "Desserts", "Şanson"),
    Description("Cherry pie", "Desserts", ""),
    Description("蒙牛 进口 纯牛奶 250ml", "乳品 > 牛奶", "蒙牛"),
    Description("牛奶", "乳品", ""),
    Description("奶油", "乳品", ""),
    Description("パンケーキ", "", ""),
    Description("삼성 텔레비전", "", ""),
    Description("", "Grocery > Soups", ""),
]
anything = st.text(st.characters() | st.sampled_from("\"'*^:(){}+-¶ 牛奶aé１𝑨İ"), max_size=150)
latin = st.text("abcdefghij", min_size=3, max_size=9)


def opened(folder: Path, shelf: Sequence[Description]) -> Search:
    path = folder / "search.sqlite"
    path.write_bytes(index(shelf))
    return Search.open(SearchIndex(path, np.arange(len(shelf), dtype=np.int32)))


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Search:
    return opened(tmp_path_factory.mktemp("shelf"), SHELF)


def found(search: Search, text: str) -> list[tuple[int, int]]:
    """Place on the shelf and closeness, the closest first."""
    matches = search.matches(text)
    pairs = zip(matches.products.tolist(), matches.closeness.tolist(), strict=True)
    return sorted(pairs, key=lambda pair: -pair[1])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tomato", [(0, 1), (1, 1)]),  # of one or of many
        ("TOMATOES", [(0, 1), (1, 1)]),
        ("tom", [(0, 0), (1, 0)]),  # a beginning
        ("soup tom", [(1, 0)]),  # of the last word alone
        ("tom soup", []),
        ("tomato soup", [(1, 2)]),  # the title itself
        ("tomato-soup!", [(1, 2)]),
        ("cherries", [(3, 1)]),
        ("creme brulee", [(2, 2)]),
        ("CRÈME", [(2, 1)]),
        ("ｃｒｅｍｅ", [(2, 1)]),
        ("sanson", [(2, 0)]),  # the brand
        ("grocery soups", [(1, 0), (9, 0)]),  # the category
        ("heinz tomato", [(1, 0)]),  # one word here, one there
        ("500 ml", [(0, 1)]),
        ("500ML", [(0, 1)]),
        ("t", []),  # one letter is no beginning
        ("牛奶", [(5, 2), (4, 1)]),
        ("奶", [(4, 1), (5, 1), (6, 1)]),
        ("奶牛", []),  # the order of two characters is their meaning
        ("进口牛奶", [(4, 0)]),  # of more it is not: nobody marks the words
        ("牛奶 进口", [(4, 1)]),
        ("乳品", [(4, 0), (5, 0), (6, 0)]),
        ("蒙牛250ML", [(4, 1)]),
        ("ハンケーキ", []),  # a voiced sound is another one, and no accent
        ("パンケーキ", [(7, 2)]),
        ("텔레", [(8, 1)]),
        ("wine", []),
        ("", []),
        ("!?", []),
    ],
)
def test_a_text_finds_what_it_says(
    shelf: Search, text: str, expected: list[tuple[int, int]]
) -> None:
    assert found(shelf, text) == expected


@settings(deadline=None)
@given(anything)
def test_any_text_is_an_answer(shelf: Search, text: str) -> None:
    for place, closeness in found(shelf, text):
        assert 0 <= place < len(SHELF)
        assert closeness in (0, 1, 2)
    if not words(text):
        assert found(shelf, text) == []


@settings(deadline=None)
@given(anything)
def test_words_hold_no_sign_of_a_query_language_and_stay_what_they_are(text: str) -> None:
    runs = words(text)
    assert all(one.isalnum() or not one.isascii() for run in runs for one in run)
    assert "¶" not in "".join(runs)
    assert words(" ".join(runs)) == runs


@pytest.mark.parametrize(
    "text", ['tomato" OR "pie', "tomato OR pie", "title:tomato", "tom*", "-tomato"]
)
def test_what_looks_like_a_query_language_is_words(shelf: Search, text: str) -> None:
    wanted = set(words(text))
    for place, _ in found(shelf, text):
        has = set(words(" ".join(SHELF[place])))
        assert {"or", "title"} & wanted <= has


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.builds(
            lambda words, run: Description(" ".join([*words, run]), "", ""),
            st.lists(latin, min_size=1, max_size=4),
            st.text("牛奶油茶酒米", max_size=4),
        ),
        min_size=1,
        max_size=8,
    ),
    st.data(),
)
def test_every_product_is_found_by_its_title_and_by_each_part_of_it(
    tmp_path_factory: pytest.TempPathFactory, shelf: list[Description], data: st.DataObject
) -> None:
    search = opened(tmp_path_factory.mktemp("titles"), shelf)
    place = data.draw(st.integers(0, len(shelf) - 1))
    title = shelf[place].title
    assert (place, 2) in found(search, title)
    assert all(
        words(shelf[one].title) == words(title) for one, close in found(search, title) if close == 2
    )
    runs = words(title)
    part = data.draw(st.lists(st.sampled_from(runs), min_size=1, unique=True))
    spelt = unicodedata.normalize("NFD", " ".join(part)).upper()
    assert place in [one for one, close in found(search, spelt) if close >= 1]
    begun = " ".join([*part[:-1], part[-1][: data.draw(st.integers(2, 9))]])
    assert place in [one for one, _ in found(search, begun)]


def test_of_a_broad_word_the_best_are_found_and_the_whole_title_wherever_it_stands(
    tmp_path: Path,
) -> None:
    many = [Description(f"Milk {number}", "", "") for number in range(3 * MATCHES)]
    search = opened(tmp_path, [*many, Description("Milk", "", "")])
    places = found(search, "milk")
    assert places[0] == (3 * MATCHES, 2)
    assert {place for place, close in places if close == 1} == set(range(MATCHES))


def test_a_text_is_read_as_far_as_it_counts(shelf: Search) -> None:
    assert found(shelf, "tomato soup" + " " * READ + "wine") == [(1, 1)]


def test_a_few_products_in_memory_are_found_alike(shelf: Search) -> None:
    memory = Search.over(SHELF, np.arange(len(SHELF), dtype=np.int32))
    for text in ("tomato", "牛奶", "soup tom", "wine"):
        assert found(memory, text) == found(shelf, text)


def test_the_closest_come_first_and_of_equals_the_best_by_themselves(shelf: Search) -> None:
    assert shelf.matches("牛奶").first(3) == [5, 4]
    both = shelf.matches("tomato").plus(shelf.matches("tomato soup"))
    assert both.first(2) == [1, 0]


def test_the_same_products_are_the_same_bytes() -> None:
    assert index(SHELF) == index(SHELF)
    assert index(SHELF) != index(SHELF[::-1])
    assert index([]) == index([])


@pytest.mark.parametrize("content", [b"", b"no database" * 100, None])
def test_another_file_is_refused_and_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "search.sqlite"
    if content is None:
        other = sqlite3.connect(path)
        other.execute("CREATE TABLE products (title)")
        other.close()
    else:
        path.write_bytes(content)
    with pytest.raises(ModelError, match=r"search\.sqlite is no search index.*Train again"):
        Search.open(SearchIndex(path, np.zeros(0, np.int32)))
