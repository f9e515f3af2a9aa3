"""What a model learns of pushes: who redeems which coupon, and what pushes bring."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np

from recsys import measured
from recsys.artifact import Array
from recsys.dataset import Dataset
from training.config import TrainingSettings
from training.redemption import campaigns as campaigning
from training.redemption.fold import redeeming
from training.redemption.knowledge import known
from training.redemption.learn import learn
from training.shop import Shop
from training.uplift import arms


@dataclass(frozen=True, slots=True)
class Pushing:
    """Parts of a model; empty where the shop has no coupons."""

    redemption: dict[str, object] | None = None
    """the manifest's; so is `effect`"""
    effect: dict[str, object] | None = None
    arrays: dict[str, Array] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)


def pushing(
    dataset: Dataset,
    shop: Shop,
    day: float,
    settings: TrainingSettings,
    *,
    before: datetime | None,
    progress: Callable[[str], None],
) -> Pushing:
    """Learned from what was known at `day`; `before` as for the shop."""
    if not dataset.has("coupons"):
        return Pushing()
    progress("learning who redeems coupons")
    campaigns = campaigning.load(dataset, shop, before=before)
    taught = learn(shop, campaigns, day)
    arrays = redeeming(known(shop, campaigns, day), taught).arrays()
    if not dataset.has("arms"):
        return Pushing(taught.to_json(), None, arrays)
    progress("learning what pushes bring")
    drawn = arms.load(dataset, shop, until=day - settings.horizon_days)
    found = arms.measure(
        drawn, shop, campaigns, taught.redemption,
        horizon=settings.horizon_days, rng=np.random.default_rng(settings.seed),
    )  # fmt: skip
    files = {measured.FILE: found.measured.to_bytes()} if found.measured else {}
    return Pushing(taught.to_json(), found.facts, arrays, files)
