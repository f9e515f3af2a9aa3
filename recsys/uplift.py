"""What a push changes for a member: lines over features, over steps of them and products of two."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from itertools import combinations_with_replacement
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

Doubles = NDArray[np.float64]
Table = NDArray[np.floating]

STEPS = (0.2, 0.4, 0.6, 0.8)
"""quantiles where a feature's steps are cut: effects that rise and then level off are common"""
FARTHEST = 3.0
"""standard deviations; a product of two outliers would outweigh all else"""


@dataclass(frozen=True, slots=True)
class Basis:
    """Features made comparable, then whether each has passed each of its steps, then products."""

    names: tuple[str, ...]
    centre: Doubles
    """shape (features,)"""
    scale: Doubles
    """shape (features,)"""
    feature: NDArray[np.int64]
    """shape (steps,): whose step it is"""
    cut: Doubles
    """shape (steps,): passed above it"""
    one: NDArray[np.int64]
    """shape (products,)"""
    other: NDArray[np.int64]
    """shape (products,): `one` times `other`"""

    @property
    def plain(self) -> int:
        """Columns before the products."""
        return len(self.centre) + len(self.cut)

    @property
    def size(self) -> int:
        """Columns."""
        return self.plain + len(self.one)

    def columns(self, table: Table) -> Doubles:
        """shape (rows, size), from features of shape (rows, features)"""
        if table.shape[1:] != self.centre.shape:
            raise ValueError(f"{table.shape[1:]} features; the effect was learned on {self.names}")
        even = np.clip((table - self.centre) / self.scale, -FARTHEST, FARTHEST)
        passed = table[:, self.feature] > self.cut
        products = even[:, self.one] * even[:, self.other]
        return np.hstack((even, passed, products), dtype=np.float64)

    def label(self, column: int) -> str:
        """What a column says, in words."""
        step, product = column - len(self.names), column - self.plain
        if step < 0:
            return self.names[column]
        if product < 0:
            return f"{self.names[self.feature[step]]} > {self.cut[step]:.4g}"
        return f"{self.names[self.one[product]]} × {self.names[self.other[product]]}"


def basis_of(table: Table, names: tuple[str, ...]) -> Basis:
    """The basis that suits these features; shape (rows, features).

    No product has a feature of two values: with a coupon's or a region's own column they would be
    many, and each of few rows.
    """
    table = np.asarray(table, np.float64)
    scale = table.std(axis=0)
    steps: list[tuple[int, float]] = []
    for at in np.flatnonzero(scale > 0):
        cuts = np.unique(np.quantile(table[:, at], STEPS, method="lower"))
        steps += [(int(at), float(cut)) for cut in cuts if cut < table[:, at].max()]
    many = [at for at, column in enumerate(table.T) if len(np.unique(column)) > 2]
    products = list(combinations_with_replacement(many, 2))
    return Basis(
        names,
        table.mean(axis=0),
        np.where(scale > 0, scale, 1.0),
        np.array([feature for feature, _ in steps], np.int64),
        np.array([cut for _, cut in steps], np.float64),
        np.array([one for one, _ in products], np.int64),
        np.array([other for _, other in products], np.int64),
    )


@dataclass(frozen=True, slots=True)
class Line:
    """A constant and a weight for each column; shape (columns,)."""

    weights: Doubles
    constant: float = 0.0

    def of(self, columns: Doubles) -> Doubles:
        """shape (rows,); columns may be more than the weights"""
        return columns[:, : len(self.weights)] @ self.weights + self.constant


@dataclass(frozen=True, slots=True)
class Effect:
    """Expected outcome if pushed, less that if not: a number for each row of features."""

    basis: Basis
    move: Line
    """what a push adds: to the outcome, or to the logit of its chance"""
    held: Line | None = None
    """the logit without a push; None where `move` adds to the outcome itself"""
    slope: float = 1.0
    """what is left of the differences between members, for noise is taken off"""
    shift: float = 0.0

    def of(self, table: Table) -> Doubles:
        """shape (rows,), from features of shape (rows, features)"""
        return self.of_columns(self.basis.columns(table))

    def of_columns(self, columns: Doubles) -> Doubles:
        """shape (rows,), from the basis's columns"""
        moved = self.move.of(columns)
        if self.held is not None:
            held = self.held.of(columns)
            moved = expit(held + moved) - expit(held)
        return self.slope * moved + self.shift

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return {
            "basis": {
                field.name: _plain(getattr(self.basis, field.name)) for field in fields(Basis)
            },
            "move": [self.move.weights.tolist(), self.move.constant],
            "held": self.held and [self.held.weights.tolist(), self.held.constant],
            "slope": self.slope,
            "shift": self.shift,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Effect":
        """The effect that `to_json` wrote."""
        basis = stored["basis"]
        move, held = (
            part and Line(np.array(part[0], np.float64), part[1])
            for part in (stored["move"], stored["held"])
        )
        return cls(
            Basis(
                tuple(basis["names"]),
                np.array(basis["centre"], np.float64),
                np.array(basis["scale"], np.float64),
                np.array(basis["feature"], np.int64),
                np.array(basis["cut"], np.float64),
                np.array(basis["one"], np.int64),
                np.array(basis["other"], np.int64),
            ),
            move,
            held,
            stored["slope"],
            stored["shift"],
        )


def _plain(value: Any) -> list[Any]:
    return value.tolist() if isinstance(value, np.ndarray) else list(value)
