"""Which features speak for what an experiment leaves out (`TrainingSettings.without`)."""

from recsys import features
from training.config import Ablated

SPEAKS_THROUGH: dict[Ablated, tuple[str, ...]] = {
    "popular": (
        "popular_30", "popular_7", "trend", "first_30", "first_7", "first_share",
        "share_of_leaf", "share_of_parent",
    ),
    "segment": ("segment",),
    "own": (
        "orders_with", "decayed_20", "decayed_60", "decayed_180", "faded_5", "latest_5",
        "idle_orders", "share_of_orders", "loyalty", *features.CLOCK,
    ),
    "together": ("together", "together_latest", "session"),
    "similar": ("similar",),
    "neighbours": ("neighbours",),
    "taste": ("taste",),
    "clock": ("rebought", "product_interval", *features.CLOCK),
    "category": (
        "category_leaf", "category_parent", "category_root", "category_idle", "brand",
        "session_leaf",
    ),
    "promoted": ("promoted",),
}  # fmt: skip


def silent_columns(without: tuple[Ablated, ...]) -> list[int]:
    """Rows of `features.NAMES` that say nothing any more."""
    return [features.NAMES.index(name) for left in without for name in SPEAKS_THROUGH[left]]
