"""Filters as people and strangers write them, and what they mean in plain Python."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

Row = Mapping[str, Any]
CHARACTERS = st.characters(exclude_characters="\n", exclude_categories=("Cs",))
SPACE = st.sampled_from(["", " ", "  ", "\t", "\n"])
GAP = st.sampled_from([" ", "  ", "\n "])
TOKENS = st.sampled_from(
    ["(", ")", "[", "]", ",", '"', "\\", "and", "or", "not", "in", "is", "null", "true", "<=", "!=",
     "=", "contains", "startswith", "1e999", "-0", ".5", "number", "\x00", "٣", "𝟙", "；", "\u2028"]
)  # fmt: skip


class MismatchError(Exception):
    """A comparison across kinds."""


@dataclass(frozen=True)
class Written:
    """An expression, and whether a row passes; MismatchError where it makes no sense for it."""

    text: str
    passes: Callable[[Row], bool]


@st.composite
def expressions(draw: st.DrawFn, fields: Mapping[str, list[Any]], depth: int = 4) -> Written:
    """Over columns with such values; by the grammar, though perhaps across kinds."""
    kind = draw(st.sampled_from(["test", "and", "or", "not", "group"])) if depth else "test"
    if kind == "test":
        return draw(tests(fields))
    one = draw(expressions(fields, depth - 1))
    before, after = draw(SPACE), draw(SPACE)
    if kind == "not":
        return Written(f"not ({before}{one.text}{after})", lambda row: not one.passes(row))
    if kind == "group":
        return Written(f"({before}{one.text}{after})", one.passes)
    two = draw(expressions(fields, depth - 1))
    return Written(f"({one.text}){before}{kind}{after}({two.text})", joined(kind, one, two))


def joined(kind: str, one: Written, two: Written) -> Callable[[Row], bool]:
    """Both sides are looked at, whatever the first one says."""
    join = all if kind == "and" else any
    return lambda row: join([one.passes(row), two.passes(row)])


@st.composite
def tests(draw: st.DrawFn, fields: Mapping[str, list[Any]]) -> Written:
    """One comparison, most often with a value of the column's own kind."""
    field = draw(st.sampled_from(sorted(fields)))
    values = st.sampled_from(flat(fields[field])) | st.sampled_from(EDGES) | VALUES
    verb = draw(st.sampled_from([*COMPARE, "in", "not in", "is null", "is not null"]))
    gap = draw(GAP)
    if verb.startswith("is"):
        missing = verb == "is null"
        return Written(
            f"{field} {verb.replace(' ', gap)}", lambda row: (row[field] is None) == missing
        )
    if verb in COMPARE:
        value = draw(values)
        return Written(f"{field}{gap}{verb}{gap}{literal(value)}", compared(field, verb, [value]))
    many = draw(st.lists(values, max_size=3))
    listed = f"[{', '.join(map(literal, many))}]"
    return Written(f"{field} {verb}{draw(SPACE)}{listed}", compared(field, verb, many))


def flat(values: list[Any]) -> list[Any]:
    """Without what is missing, and the texts of lists one by one."""
    each = [one for value in values for one in (value if isinstance(value, tuple) else [value])]
    return [one for one in each if one is not None]


EDGES: list[Any] = [0.0, -0.0, 1e300, 1.0, "", "x", "x\x00", "\x00", 'a"', "\\", True]
VALUES = (
    st.booleans()
    | st.text(CHARACTERS, max_size=3)
    | st.integers(-9, 9).map(float)
    | st.floats(allow_nan=False, allow_infinity=False)
)
COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": lambda a, b: a == b,
    "!=": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
    "startswith": lambda a, b: a.startswith(b),
    "contains": lambda a, b: b in a,
}


def literal(value: Any) -> str:
    """As it is written in a filter."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)


def compared(field: str, verb: str, values: list[Any]) -> Callable[[Row], bool]:
    def passes(row: Row) -> bool:
        held = row[field]
        if held is None:
            return False
        if isinstance(held, tuple):
            if verb != "contains" or not isinstance(values[0], str):
                raise MismatchError
            return values[0] in held
        if any(type(value) is not type(held) for value in values):
            raise MismatchError
        if verb in ("startswith", "contains") and not isinstance(held, str):
            raise MismatchError
        if verb in ("<", "<=", ">", ">=") and isinstance(held, bool):
            raise MismatchError
        if verb in COMPARE:
            return COMPARE[verb](held, values[0])
        return (held in values) == (verb == "in")

    return passes


@st.composite
def spoilt(draw: st.DrawFn, right: st.SearchStrategy[Written]) -> str:
    """What is left of an expression after a few slips."""
    text = draw(right).text
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        stop = draw(st.integers(start, min(len(text), start + 6)))
        instead = draw(TOKENS | st.text(max_size=3) | st.just(text[start:stop] * 2))
        text = text[:start] + instead + text[stop:]
    return text
