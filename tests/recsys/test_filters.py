import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import FilterError
from recsys.filters import MAX_DEPTH, MAX_LENGTH, Filter, parse

COLUMNS = {
    "category": np.array(["GROCERY > MILK", "GROCERY", "TOYS", None], object),
    "price": np.array([4.0, 6.0, np.nan, 5.0]),
    "brand": np.array(["A", "B", "A", "C"]),
    "in_stock": np.array([True, False, True, True]),
    "not_new": np.array([1, 2, 3, 4]),
}


def rows(text, columns=COLUMNS):
    return np.flatnonzero(parse(text).mask(columns)).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('category startswith "GROCERY" and (price < 5 or brand in ["A", "B"])', [0, 1]),
        ("not in_stock = false", [0, 2, 3]),
        ("in_stock = true", [0, 2, 3]),
        ("price != 4", [1, 3]),
        ("price not in [4, 6]", [3]),
        ("not price in [4, 6]", [2, 3]),
        ("price is null", [2]),
        ("category is not null", [0, 1, 2]),
        ('category contains "ILK"', [0]),
        ('brand > "A"', [1, 3]),
        ('brand = "A" and price < 9 or brand = "C"', [0, 3]),
        ('brand = "A" and (price < 9 or brand = "C")', [0]),
        ("not_new >= 3", [2, 3]),
        ("price <= 4.5e0", [0]),
        ("price > -1", [0, 1, 3]),
        ("price in []", []),
        ("not not price<5", [0]),
    ],
)
def test_an_expression_selects_the_rows_that_it_says(text, expected):
    assert rows(text) == expected


@pytest.mark.parametrize("verb", ["= 1", "!= 1", "< 1", ">= 1", "in [1]", "not in [1]"])
def test_every_comparison_with_a_missing_value_is_false(verb):
    assert rows(f"x {verb}", {"x": np.array([np.nan])}) == []
    assert rows(f"x {verb}", {"x": np.array([None], object)}) == []


def test_text_columns_of_every_kind_read_alike():
    kinds = [
        np.array(["a", "b"]),
        np.array(["a", "b"], object),
        np.array(["a", "b"], np.dtypes.StringDType()),
        np.array(["a", "b"], np.dtypes.StringDType(na_object=None)),
    ]
    for column in kinds:
        assert rows('x = "a"', {"x": column}) == [0]
        assert rows('x startswith "b"', {"x": column}) == [1]
        assert rows('x in ["b"]', {"x": column}) == [1]
        assert rows('x = "a\0"', {"x": column}) == []
        assert rows('x < "a\0"', {"x": column}) == [0]
    missing = np.array(["a", None], np.dtypes.StringDType(na_object=None))
    assert rows("x is null", {"x": missing}) == [1]
    assert rows('x != "z"', {"x": missing}) == [0]


def test_a_list_is_asked_for_one_of_its_texts():
    lists = {"x": np.array([("a", "b"), ("b",), (), None, ("c",)], object)}
    assert rows('x contains "b"', lists) == [0, 1]
    assert rows('x is null or x contains "c"', lists) == [3, 4]
    with pytest.raises(FilterError, match='ask for one: x contains "A"'):
        rows('x = "a"', lists)


def test_no_rows_give_an_empty_mask():
    assert parse("x < 1").mask({"x": np.array([], object)}).tolist() == []


def test_an_unknown_field_is_named_with_the_nearest_known_one():
    with pytest.raises(FilterError, match=r"Unknown field 'pricee' .* did you mean 'price'"):
        rows("pricee < 5")
    with pytest.raises(FilterError, match="known fields: brand, category"):
        rows("zzz = 1")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        ("price <", "ends too early"),
        ("(price < 5", "ends too early"),
        ("price < 5)", "character 10"),
        ("price ~ 5", "near '~ 5'"),
        ("price < 5 brand = 1", "near 'brand"),
        ('brand = "A', "near '\"A'"),
        ("price < 5; drop", "near ';"),
        ("brand = A", "near 'A'"),
        ("and = 1", "near 'and"),
    ],
)
def test_a_slip_is_shown_where_it_stands(text, says):
    with pytest.raises(FilterError, match=says):
        parse(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('price < "5"', "'price' is number.*a plain number"),
        ("brand = 5", "'brand' is text.*in quotes"),
        ("brand in [5]", "'brand' is text"),
        ('in_stock = "yes"', "true or false"),
        ("in_stock < true", "= or !="),
        ("price contains 5", "is for text"),
    ],
)
def test_comparing_across_kinds_is_refused_and_not_silently_false(text, says):
    with pytest.raises(FilterError, match=says):
        rows(text)


def test_length_and_depth_are_bounded():
    with pytest.raises(FilterError, match="at most"):
        parse("a = 1 or " * MAX_LENGTH + "a = 1")
    for deep in ("(" * 500 + "a = 1" + ")" * 500, "not " * 500 + "a = 1"):
        with pytest.raises(FilterError, match=f"deeper than {MAX_DEPTH}"):
            parse(deep)
    wide = " or ".join(["a = 1"] * 200)
    assert parse(wide).fields == {"a"}


@given(st.text(st.characters(exclude_characters="\n", exclude_categories=("Cs",)), max_size=20))
def test_any_text_can_be_quoted(text):
    quoted = text.replace("\\", "\\\\").replace('"', '\\"')
    assert rows(f'x = "{quoted}"', {"x": np.array([text, text + "!"], object)}) == [0]


@given(st.text(max_size=60))
def test_any_input_parses_or_says_why_not(text):
    # Any other error would come through.
    with contextlib.suppress(FilterError):
        assert isinstance(parse(text), Filter)


FIELDS = {
    "a": [1.0, 2.0, float("nan"), 3.0],
    "b": ["x", None, "y", "x"],
    "c": [True, False, True, False],
}


def leaf(draw):
    field = draw(st.sampled_from("abc"))
    if field == "a":
        verb, value = draw(st.sampled_from(["=", "!=", "<", ">="])), draw(st.integers(0, 4))
        compare = {
            "=": lambda v: v == value,
            "!=": lambda v: v == v and v != value,  # noqa: PLR0124
            "<": lambda v: v < value,
            ">=": lambda v: v >= value,
        }[verb]
        return f"a {verb} {value}", [compare(v) for v in FIELDS["a"]]
    if field == "b":
        return 'b in ["x", "q"]', [v == "x" for v in FIELDS["b"]]
    return "c = true", list(FIELDS["c"])


@st.composite
def expressions(draw, depth=3):
    kind = draw(st.sampled_from(["leaf", "and", "or", "not"])) if depth else "leaf"
    if kind == "leaf":
        return leaf(draw)
    if kind == "not":
        text, truth = draw(expressions(depth - 1))
        return f"not ({text})", [not t for t in truth]
    one, two = draw(expressions(depth - 1)), draw(expressions(depth - 1))
    join = (lambda p, q: p and q) if kind == "and" else (lambda p, q: p or q)
    return f"({one[0]}) {kind} ({two[0]})", [join(p, q) for p, q in zip(one[1], two[1])]  # noqa: B905


@given(expressions())
def test_any_expression_means_what_plain_python_says(expression):
    text, truth = expression
    columns = {
        "a": np.array(FIELDS["a"]),
        "b": np.array(FIELDS["b"], object),
        "c": np.array(FIELDS["c"]),
    }
    assert parse(text).mask(columns).tolist() == truth
