"""One filter grammar for requests, placements and audiences: text in, a mask over columns out.

    category startswith "GROCERY" and (price < 5 or brand in ["A", "B"]) and not in_stock = false

A comparison with a missing value is false, whatever the comparison; ask for it with `is null`.
"""

import difflib
import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias, cast

import numpy as np
from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedInput, UnexpectedToken, VisitError
from numpy.typing import NDArray

from recsys.errors import FilterError

# Generous for a person, small for a stranger's request.
MAX_LENGTH = 4_000
MAX_DEPTH = 32

FIELD = r"(?!(and|or|not|in|is|null|true|false|startswith|contains)\b)[A-Za-z_][A-Za-z0-9_]*"
"""which names of columns can be written"""
_GRAMMAR = r"""
?start: any
?any: all (_OR all)*
?all: one (_AND one)*
?one: _NOT one -> negation
    | "(" any ")" -> group
    | FIELD OP literal -> compare
    | FIELD _IN "[" [literal ("," literal)*] "]" -> within
    | FIELD _NOT _IN "[" [literal ("," literal)*] "]" -> without
    | FIELD _IS _NULL -> null
    | FIELD _IS _NOT _NULL -> present
literal: TEXT -> text
    | NUMBER -> number
    | TRUE -> true
    | FALSE -> false

OP: "!=" | "<=" | ">=" | "=" | "<" | ">" | /startswith\b/ | /contains\b/
_AND: /and\b/
_OR: /or\b/
_NOT: /not\b/
_IN: /in\b/
_IS: /is\b/
_NULL: /null\b/
TRUE: /true\b/
FALSE: /false\b/
FIELD: /@FIELD@/
TEXT: /"([^"\\\n]|\\["\\])*"/
NUMBER: /[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?/
%import common.WS
%ignore WS
""".replace("@FIELD@", FIELD)

Value: TypeAlias = str | float | bool
Kind: TypeAlias = Literal["text", "number", "yes/no", "a list"]
Mask: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Coded:
    """A column of few distinct values: each of them is looked at once."""

    codes: NDArray[np.integer[Any]]
    """shape (rows,); -1 is missing"""
    values: NDArray[Any]
    """shape (codes + 1,): the value of each code, as an object; the last is None"""


Column: TypeAlias = NDArray[Any] | Coded
Columns: TypeAlias = Mapping[str, Column]

_ORDER: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@dataclass(frozen=True, slots=True)
class _Test:
    """One field against its values; `in` has many, `is null` none."""

    field: str
    verb: str
    values: tuple[Value, ...] = ()
    depth: int = 1


@dataclass(frozen=True, slots=True)
class _Join:
    """`and`, `or` (two or more parts) or `not` (one part)."""

    verb: str
    parts: "tuple[_Node, ...]"
    depth: int


_Node: TypeAlias = _Test | _Join


@dataclass(frozen=True, slots=True)
class Filter:
    """A parsed expression. Build one with `parse`."""

    text: str
    fields: frozenset[str]
    _root: _Node

    def check(self, known: Iterable[str]) -> None:
        """FilterError for a field that is not among the known ones; names the nearest."""
        names = sorted(known)
        for field in sorted(self.fields.difference(names)):
            near = difflib.get_close_matches(field, names, 1, 0.5)
            hint = f"did you mean '{near[0]}'?" if near else f"known fields: {', '.join(names)}"
            raise FilterError(f"Unknown field '{field}' in the filter '{self.text}': {hint}")

    def texts(self, field: str) -> frozenset[str]:
        """The whole texts that a field is compared with."""
        tests = (test for test in _tests(self._root) if test.field == field)
        whole = (test.values for test in tests if test.verb in ("=", "!=", "in", "not in"))
        return frozenset(value for some in whole for value in some if isinstance(value, str))

    def mask(self, columns: Columns) -> Mask:
        """Rows that pass, shape (rows,).

        A column is text (object with None, fixed-width or StringDType), float64 with NaN for
        missing, another number, bool, or lists (object with tuples of texts); all of one length.
        """
        self.check(columns)
        return _mask(self._root, columns)


@lru_cache(maxsize=512)
def parse(text: str) -> Filter:
    """The expression as a Filter; FilterError says where it stops making sense."""
    if len(text) > MAX_LENGTH:
        raise FilterError(f"The filter has {len(text)} characters; at most {MAX_LENGTH} are read")
    try:
        root = cast(_Node, _parser().parse(text))
    except UnexpectedInput as error:
        raise FilterError(_where(text, error)) from None
    except VisitError as error:
        if isinstance(error.orig_exc, FilterError):
            raise error.orig_exc from None
        raise
    return Filter(text, frozenset(test.field for test in _tests(root)), root)


def _where(text: str, error: UnexpectedInput) -> str:
    at = error.pos_in_stream
    if not text.strip():
        return "The filter is empty; leave it out to let everything pass"
    ended = isinstance(error, UnexpectedToken) and error.token.type == "$END"
    if ended or at is None or at < 0:
        return f"The filter '{text}' ends too early; a field, a comparison or a ')' is missing"
    return (
        f"The filter stops making sense at character {at + 1}, near '{text[at : at + 20]}'. "
        'Write for example: price < 5 and brand in ["A", "B"]'
    )


@v_args(inline=True)
class _Build(Transformer[Token, Any]):
    """Runs while parsing, bottom up, so depth is bounded before anything recurses."""

    def text(self, token: str) -> str:
        return re.sub(r"\\(.)", r"\1", token[1:-1])

    def number(self, token: str) -> float:
        return float(token)

    def true(self, _: str) -> bool:
        return True

    def false(self, _: str) -> bool:
        return False

    def compare(self, field: str, verb: str, value: Value) -> _Node:
        return _Test(str(field), str(verb), (value,))

    def within(self, field: str, *values: Value | None) -> _Node:
        return _Test(str(field), "in", tuple(v for v in values if v is not None))

    def without(self, field: str, *values: Value | None) -> _Node:
        return _Test(str(field), "not in", tuple(v for v in values if v is not None))

    def null(self, field: str) -> _Node:
        return _Test(str(field), "is null")

    def present(self, field: str) -> _Node:
        return _Test(str(field), "is not null")

    def negation(self, part: _Node) -> _Node:
        return _join("not", part)

    def group(self, part: _Node) -> _Node:
        return _join("or", part)

    def all(self, *parts: _Node) -> _Node:
        return _join("and", *parts)

    def any(self, *parts: _Node) -> _Node:
        return _join("or", *parts)


def _join(verb: str, *parts: _Node) -> _Node:
    depth = 1 + max(part.depth for part in parts)
    if depth > MAX_DEPTH:
        raise FilterError(f"The filter is nested deeper than {MAX_DEPTH}; take some brackets out")
    return _Join(verb, parts, depth)


@lru_cache(maxsize=1)
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", transformer=_Build(), maybe_placeholders=False)


def _tests(node: _Node) -> list[_Test]:
    if isinstance(node, _Test):
        return [node]
    return [test for part in node.parts for test in _tests(part)]


def _mask(node: _Node, columns: Columns) -> Mask:
    if isinstance(node, _Test):
        return _test(node, columns[node.field])
    masks = [_mask(part, columns) for part in node.parts]
    if node.verb == "not":
        return ~masks[0]
    join = np.logical_and if node.verb == "and" else np.logical_or
    return cast(Mask, join.reduce(masks))


def _test(test: _Test, column: Column) -> Mask:
    if isinstance(column, Coded):
        return cast(Mask, _test(test, column.values)[column.codes])
    missing = _missing(column)
    if test.verb == "is null":
        return missing
    if test.verb == "is not null":
        return ~missing
    result = np.zeros(len(column), np.bool_)
    there = ~missing
    values = column[there]
    if len(values):
        _check_kind(test, _kind(values))
        result[there] = _holds(test, values)
    return result


def _holds(test: _Test, values: NDArray[Any]) -> Any:
    """The test on values of which none is missing."""
    if test.verb in ("in", "not in"):
        wanted = set(test.values)
        found = np.fromiter((v in wanted for v in values.tolist()), np.bool_, len(values))
        return found if test.verb == "in" else ~found
    value = test.values[0]
    if test.verb == "startswith":
        start = str(value)
        return np.fromiter((v.startswith(start) for v in values.tolist()), np.bool_, len(values))
    if test.verb == "contains":
        return np.fromiter((value in v for v in values.tolist()), np.bool_, len(values))
    if values.dtype.kind in "OUT":
        # as objects: numpy's own texts do not tell a NUL at the end
        return _ORDER[test.verb](values.astype(object, copy=False), np.array(value, object))
    return _ORDER[test.verb](values, value)


def _missing(column: NDArray[Any]) -> Mask:
    if column.dtype.kind == "f":
        return cast(Mask, np.isnan(column))
    if column.dtype.kind == "O":
        gone = (v is None or (isinstance(v, float) and math.isnan(v)) for v in column.tolist())
        return np.fromiter(gone, np.bool_, len(column))
    if column.dtype.kind == "T" and hasattr(column.dtype, "na_object"):
        return np.fromiter((not isinstance(v, str) for v in column), np.bool_, len(column))
    return np.zeros(len(column), np.bool_)


def _kind(values: NDArray[Any]) -> Kind:
    first = values[0]
    if isinstance(first, bool | np.bool_):
        return "yes/no"
    if isinstance(first, tuple):
        return "a list"
    return "text" if isinstance(first, str) else "number"


def _check_kind(test: _Test, kind: Kind) -> None:
    """A comparison across kinds is a slip of the writer's, never silently false."""
    if kind == "a list":
        if test.verb != "contains" or not isinstance(test.values[0], str):
            raise FilterError(
                f"'{test.field}' is a list of texts; ask for one: {test.field} contains \"A\""
            )
        return
    for value in test.values:
        given: Kind = (
            "yes/no" if isinstance(value, bool) else "text" if isinstance(value, str) else "number"
        )
        if given != kind:
            shown = {"text": '"in quotes"', "number": "a plain number", "yes/no": "true or false"}
            raise FilterError(
                f"'{test.field}' is {kind}, but the filter compares it with the {given} {value!r}; "
                f"write {shown[kind]}"
            )
    if test.verb in ("startswith", "contains") and kind != "text":
        raise FilterError(f"'{test.field}' is {kind}; '{test.verb}' is for text")
    if test.verb in ("<", "<=", ">", ">=") and kind == "yes/no":
        raise FilterError(f"'{test.field}' is yes/no; compare it with = or !=")
