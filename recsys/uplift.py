"""What a push changes, as a line over a member's features and over steps of them."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

Doubles = NDArray[np.float64]

STEPS = (0.2, 0.4, 0.6, 0.8)
"""quantiles where a feature's steps are cut: effects that rise and then level off are common"""


@dataclass(frozen=True, slots=True)
class Basis:
    """Features, made comparable, then whether each has passed each of its steps."""

    names: tuple[str, ...]
    centre: Doubles
    """shape (features,)"""
    scale: Doubles
    """shape (features,)"""
    feature: NDArray[np.int64]
    """shape (steps,): whose step it is"""
    cut: Doubles
    """shape (steps,): passed from above it on"""

    @property
    def size(self) -> int:
        """Columns."""
        return len(self.centre) + len(self.cut)

    def columns(self, table: NDArray[np.floating]) -> Doubles:
        """shape (rows, size), from features of shape (rows, features)"""
        table = np.asarray(table, np.float64)
        if table.shape[1:] != self.centre.shape:
            raise ValueError(f"{table.shape[1:]} features, and the effect knows {self.names}")
        return np.hstack(
            ((table - self.centre) / self.scale, table[:, self.feature] > self.cut), dtype=np.float64
        )

    def label(self, column: int) -> str:
        """What a column says, in words."""
        at = column - len(self.names)
        if at < 0:
            return self.names[column]
        return f"{self.names[self.feature[at]]} > {self.cut[at]:.4g}"


def basis_of(table: NDArray[np.floating], names: tuple[str, ...]) -> Basis:
    """The basis that suits these features; shape (rows, features). A constant one has no step."""
    table = np.asarray(table, np.float64)
    scale = table.std(axis=0)
    steps: list[tuple[int, float]] = []
    for at, column in enumerate(table.T):
        cuts = np.unique(np.quantile(column, STEPS, method="lower"))
        steps += [(at, float(cut)) for cut in cuts if cut < column.max()]
    return Basis(
        names,
        table.mean(axis=0),
        np.where(scale > 0, scale, 1.0),
        np.array([feature for feature, _ in steps], np.int64),
        np.array([cut for _, cut in steps], np.float64),
    )


@dataclass(frozen=True, slots=True)
class Effect:
    """Expected outcome if pushed, less that if not: a number for each row of features."""

    basis: Basis
    weights: Doubles
    """shape (basis.size,)"""
    constant: float

    def of(self, table: NDArray[np.floating]) -> Doubles:
        """shape (rows,), from features of shape (rows, features)"""
        return self.basis.columns(table) @ self.weights + self.constant

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        basis = {field.name: list(getattr(self.basis, field.name)) for field in fields(Basis)}
        for name in ("centre", "scale", "feature", "cut"):
            basis[name] = np.asarray(basis[name]).tolist()
        return {"basis": basis, "weights": self.weights.tolist(), "constant": self.constant}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> "Effect":
        """The effect that `to_json` wrote."""
        basis = stored["basis"]
        return cls(
            Basis(
                tuple(basis["names"]),
                np.array(basis["centre"], np.float64),
                np.array(basis["scale"], np.float64),
                np.array(basis["feature"], np.int64),
                np.array(basis["cut"], np.float64),
            ),
            np.array(stored["weights"], np.float64),
            float(stored["constant"]),
        )
