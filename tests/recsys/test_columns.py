import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recsys.columns import Labels, Texts
from recsys.filters import parse


@given(st.lists(st.text(max_size=6), max_size=10))
def test_texts_come_back(texts: list[str]) -> None:
    built = Texts.build(texts)
    assert [built[row] for row in range(len(texts))] == texts == built.all()
    assert len(built) == len(texts)


@given(st.lists(st.none() | st.text(max_size=2), max_size=12))
def test_labels_come_back_and_equal_texts_share_a_code(texts: list[str | None]) -> None:
    built = Labels.build(texts)
    assert [built[row] for row in range(len(texts))] == [text or "" for text in texts]
    assert [code == -1 for code in built.codes] == [text is None for text in texts]
    assert len(built.texts) == len({text for text in texts if text is not None})


@given(st.lists(st.none() | st.sampled_from(["a", "ab", "b"]), max_size=12))
def test_a_filter_reads_labels_as_it_reads_texts(texts: list[str | None]) -> None:
    coded = Labels.build(texts).coded()
    for expression in ('x = "a"', 'x startswith "a"', 'x in ["b"]', "x is null", 'not x != "b"'):
        slow = parse(expression).mask({"x": np.array(texts, object)})
        assert parse(expression).mask({"x": coded}).tolist() == slow.tolist()


@given(st.lists(st.text(max_size=4), max_size=6), st.lists(st.text(max_size=4), max_size=6))
def test_texts_and_more_texts_are_all_of_them(texts: list[str], more: list[str]) -> None:
    assert Texts.build(texts).plus(more).all() == texts + more


@given(
    st.lists(st.none() | st.text(max_size=2), max_size=8),
    st.lists(st.none() | st.text(max_size=2), max_size=8),
)
def test_labels_and_more_labels_are_all_of_them(
    texts: list[str | None], more: list[str | None]
) -> None:
    longer = Labels.build(texts).plus(more)
    assert longer.coded().values[longer.codes].tolist() == texts + more
    assert len(longer.texts) == len({text for text in texts + more if text is not None})
