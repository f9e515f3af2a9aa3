import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.tables import CODES
from serving.wording import LANGUAGES, WORDING, language_of


@pytest.mark.parametrize(
    ("header", "language"),
    [
        (None, "en"),
        ("", "en"),
        ("zh", "zh"),
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("en-GB,zh;q=0.5", "en"),
        ("de, zh;q=0.2, en;q=0.1", "zh"),
        ("fr", "en"),
        ("en;q=0.1, ZH-hans;q=0.7", "zh"),
        ("zh;q=0", "en"),
        ("zh;q=often", "en"),
    ],
)
def test_the_language_is_the_one_liked_best(header: str | None, language: str) -> None:
    assert language_of(header) == language


@given(st.text(max_size=200))
def test_no_header_is_an_error(header: str) -> None:
    assert language_of(header) in LANGUAGES


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_code_that_states_no_facts_has_its_sentence(language: str) -> None:
    wording = WORDING[language]  # type: ignore[index]
    assert set(wording.plain) == {*CODES} - {"again", "session"}


def test_sentences_say_what_they_are_given() -> None:
    english, chinese = WORDING["en"], WORDING["zh"]
    assert english.again(0, 1) == "You buy it every day, last today"
    assert english.again(11, 9) == "You buy it about every 9 days, last 11 days ago"
    assert chinese.again(11, 9) == "您大约每9天购买一次，上次是11天前"
    assert (
        english.company("Milk", 212, 1530, 3.4) == "In 212 of 1,530 orders with Milk, 3.4 × chance"
    )
    assert english.company("Milk", 212, 1530, 0.9) == "In 212 of 1,530 orders with Milk"
    assert (
        chinese.company("牛奶", 212, 1530, 3.4)
        == "1,530笔含牛奶的订单中有212笔同时购买，是偶然的3.4倍"
    )
    assert english.scope(None, "Milk", 0) == "Counts for Milk"
    assert chinese.scope(None, "牛奶", 2) == "适用于牛奶，以及另外2件您常买的商品"
    given = english.given("percent", 10)
    assert english.scope(given, "Milk", 1) == (
        "10 % off what we recommend to you: Milk and 1 more of your usual products"
    )
    assert chinese.scope(chinese.given("percent", 10), "牛奶", 0) == "为您推荐商品专享9折：牛奶"


@pytest.mark.parametrize(
    ("kind", "value", "english", "chinese"),
    [
        ("percent", 15.0, "15 % off what we recommend to you", "为您推荐商品专享8.5折"),
        ("percent", 33.3, "33.3 % off what we recommend to you", "为您推荐商品专享6.67折"),
        ("percent", 100.0, "100 % off what we recommend to you", "为您推荐商品免费"),
        ("amount", 2.5, "2.5 off what we recommend to you", "为您推荐商品立减2.5"),
        ("shipping", None, "Free shipping on what we recommend to you", "为您推荐商品包邮"),
        ("gift", None, "A gift with what we recommend to you", "购买为您推荐的商品有赠品"),
        ("percent", None, None, None),
        (None, 5.0, None, None),
    ],
)
def test_what_a_coupon_gives_is_told_in_both_languages(
    kind: str | None, value: float | None, english: str | None, chinese: str | None
) -> None:
    assert WORDING["en"].given(kind, value) == english
    assert WORDING["zh"].given(kind, value) == chinese
