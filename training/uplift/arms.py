"""The trial that a shop's own draws are: whom they pushed, whom they held out, who ordered.

Known when: what is known of a member is of the midnight before the push, and the outcome's time had
ended before the model's instant.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys import measured, redemption
from recsys.dataset import Dataset
from recsys.features import Floats
from recsys.measured import Measured
from recsys.redemption import CHANCE, Redemption
from training import shelf
from training.redemption.campaigns import Campaigns, Rows
from training.redemption.fold import pairs
from training.redemption.knowledge import known
from training.redemption.learn import CHUNK
from training.shop import Shop
from training.uplift.choose import Found, learn
from training.uplift.trial import Trial

MOST_DAYS, MOST_ROWS = 60, 100_000
"""of the latest days on which pushes were drawn: a day takes as long as a campaign in learning who
redeems; and of their rows: 0.6 GB and 3 s while it is learned from them"""
LEAST_OF_ARM = 300
"""rows: what happened in none of 300 is rarer than one in 100, surely enough (3 / n); with fewer,
that nobody ordered would look like knowledge"""
MOST_ERROR = 0.1
"""standard error of the mean, in orders for each redemption: with it an effect like the one that
is assumed by default, 0.3, is told from what just pays for a discount: 0.1 where an order of 40
with a margin of a quarter gets 1 off"""
RAREST = 1e-4
"""chance of redeeming; a rarer one counts as this, lest one row outweigh all"""


@dataclass(frozen=True, slots=True)
class Drawn:
    """Rows of a dataset's arms, by time."""

    members: Rows
    coupons: Rows
    """rows of the model's coupons"""
    days: NDArray[np.float64]
    """of the push, or of what would have been one"""
    held: NDArray[np.bool_]
    share: NDArray[np.float64]
    """of the members that the draw held out"""

    def __len__(self) -> int:
        return len(self.members)


def load(dataset: Dataset, shop: Shop, *, until: float) -> Drawn:
    """Each draw's first push of each member, up to an instant (days since 1970): later ones find
    members whom the first has moved already, in one arm alone."""
    listed = shelf.listed(dataset).select("coupon_id", "campaign_id").with_row_index("coupon")
    anywhere = listed.unique("coupon_id", keep="first", maintain_order=True).drop("campaign_id")
    members = pl.DataFrame({"member_id": shop.member_ids}, {"member_id": pl.String})
    rows = (
        dataset.read("arms")
        .with_columns((pl.col("at").dt.epoch("us") / 86_400_000_000).alias("day"))
        .filter(pl.col("day") <= until)
        .sort("day", "member_id", "campaign_id", "epoch", "coupon_id", "arm", maintain_order=True)
        .unique(["member_id", "campaign_id", "epoch"], keep="first", maintain_order=True)
        .filter(pl.col("share") > 0, pl.col("share") < 1)
        .join(members.with_row_index("member"), on="member_id", maintain_order="left")
        .join(listed, on=["coupon_id", "campaign_id"], how="left", maintain_order="left")
        .join(anywhere, on="coupon_id", suffix="_anywhere", maintain_order="left")
        .with_columns(pl.coalesce("coupon", "coupon_anywhere").cast(pl.Int32).alias("coupon"))
    )
    rows = rows.filter(pl.col("day") >= _first_day(rows)).tail(MOST_ROWS)
    return Drawn(
        rows["member"].cast(pl.Int32).to_numpy(),
        rows["coupon"].to_numpy(),
        rows["day"].to_numpy(),
        (rows["arm"] == "holdout").to_numpy(),
        rows["share"].to_numpy(),
    )


def _first_day(rows: pl.DataFrame) -> float:
    days = rows["day"].floor().unique().sort().tail(MOST_DAYS)
    return float(days[0]) if len(days) else 0.0


def known_of(drawn: Drawn, shop: Shop, campaigns: Campaigns, weights: Redemption) -> Floats:
    """shape (rows, len(CHANCE)), as serving would have known it on the day."""
    found = np.zeros((len(drawn), len(CHANCE)), np.float32)
    days = np.floor(drawn.days)
    for day in np.unique(days):
        knowledge = known(shop, campaigns, float(day))
        rows = np.flatnonzero(days == day)
        for start in range(0, len(rows), CHUNK):
            some = rows[start : start + CHUNK]
            members = drawn.members[some]
            coupons, column = np.unique(drawn.coupons[some], return_inverse=True)
            bought = knowledge.bought(members, coupons)
            each = pairs(weights, knowledge.offered(coupons), bought)
            own = _stored(each[np.arange(len(some)), column])[:, None]
            rank, recent, saved = np.moveaxis(own, -1, 0)
            theirs = _stored(knowledge.member[members])
            found[some] = redemption.of_chance(rank, recent, saved, theirs)[:, 0]
    return found


def _stored(table: Floats) -> Floats:
    """As a model gives it back."""
    return table.astype(np.float16).astype(np.float32)


def orders_after(drawn: Drawn, shop: Shop, *, days: float) -> NDArray[np.float64]:
    """shape (rows,): each member's orders in so many days from the push on."""
    bought = shop.history.purchases()
    _, first = np.unique(bought.orders, return_index=True)  # an order's lines are in order of time
    ordered = np.sort(_key(bought.members[first], bought.days[first]))
    until = ordered.searchsorted(_key(drawn.members, drawn.days + days), "right")
    return (until - ordered.searchsorted(_key(drawn.members, drawn.days), "right")).astype(float)


def _key(members: Rows, days: NDArray[np.float64]) -> NDArray[np.int64]:
    """By member, then second: a time of this century has 33 bits."""
    return (members.astype(np.int64) << 33) + np.round(days * 86_400).astype(np.int64)


@dataclass(frozen=True, slots=True)
class Result:
    """What was learned, or why nothing was."""

    measured: Measured | None
    facts: dict[str, object]
    """the manifest's `effect`"""


def measure(
    drawn: Drawn,
    shop: Shop,
    campaigns: Campaigns,
    weights: Redemption,
    *,
    horizon: float,
    rng: np.random.Generator,
) -> Result:
    """How many orders come for each redemption that was expected, within the horizon (days)."""
    held = int(drawn.held.sum())
    facts: dict[str, object] = {
        "pushed": len(drawn) - held,
        "held_out": held,
        "horizon_days": horizon,
    }
    if min(held, len(drawn) - held) < LEAST_OF_ARM:
        return Result(None, facts | {"none_because": f"an arm has fewer than {LEAST_OF_ARM} rows"})
    table = measured.features(known_of(drawn, shop, campaigns, weights))
    chance = weights.of_coupon.chance(table.astype(np.float32)).astype(np.float64)
    outcome = orders_after(drawn, shop, days=horizon)
    dose = np.maximum(chance, RAREST)
    found = learn(Trial(CHANCE, table, ~drawn.held, 1 - drawn.share, outcome, dose), rng=rng)
    facts |= _facts(found)
    if found.error > MOST_ERROR:
        why = f"the mean's standard error is above {MOST_ERROR}"
        return Result(None, facts | {"none_because": why})
    return Result(Measured(found.effect, len(drawn), found.learner), facts)


def _facts(found: Found) -> dict[str, object]:
    return {
        "learner": found.learner,
        "orders_for_a_redemption": round(found.mean, 6),
        "standard_error": round(found.error, 6),
    }
