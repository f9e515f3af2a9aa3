"""What pushes were seen to bring, as a model carries it: orders for each redemption."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.errors import ModelError
from recsys.features import Floats
from recsys.redemption import CHANCE
from recsys.uplift import Effect
from recsys.value import Gained, measurement

FILE = "effect.json"
_ROWS = 16_384
"""at a time: of some hundred columns, 13 MB"""


def features(table: Floats) -> NDArray[np.float64]:
    """shape (rows, len(CHANCE)): what an effect is learned from and looked up by.

    As coarse as a model keeps it: a step that falls between two roundings of one number would be
    passed in training and not in serving.
    """
    return table.astype(np.float16).astype(np.float64)


@dataclass(frozen=True, slots=True)
class Measured:
    """How many orders come for each redemption that is expected, by member and coupon: what the
    assumed share is without a trial. Below zero where a push drives orders away."""

    effect: Effect
    """over `redemption.CHANCE`"""
    rows: int
    """pushes that it was learned from, held out ones included"""
    learner: str

    def gained(self, table: Floats, redeemed: Floats) -> Gained:
        """table: shape (members, coupons, len(CHANCE)), NaN for a void coupon; redeemed: shape
        (members, coupons)."""
        flat = table.reshape(-1, table.shape[-1])
        share = np.concatenate(
            [np.zeros(0)]
            + [
                self.effect.of(features(flat[start : start + _ROWS]))
                for start in range(0, len(flat), _ROWS)
            ]
        )
        orders = np.nan_to_num(share, nan=0.0).reshape(redeemed.shape) * redeemed
        return Gained(orders.astype(redeemed.dtype), self.basis)

    @property
    def basis(self) -> str:
        """What says so, in words."""
        return measurement(self.rows, self.learner)

    def to_bytes(self) -> bytes:
        """What `read` reads."""
        told = {"rows": self.rows, "learner": self.learner, "effect": self.effect.to_json()}
        return json.dumps(told, allow_nan=False).encode()

    @classmethod
    def read(cls, others: Mapping[str, Path]) -> "Measured | None":
        """Of a model's files; None of a model that learned none, or is older than that."""
        if FILE not in others:
            return None
        told = json.loads(others[FILE].read_bytes())
        effect = Effect.from_json(told["effect"])
        if effect.basis.names != CHANCE:
            raise ModelError(
                "the model's effect is over other features than this program's. Train it again "
                "with this program."
            )
        return cls(effect, told["rows"], told["learner"])
