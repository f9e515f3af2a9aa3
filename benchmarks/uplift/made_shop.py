"""What plans truly earn in shops whose answer to every push is known.

    python -m benchmarks.uplift.made_shop [--seeds 0-9 | --held-back] [--by-redemption]
                                          [--write docs/quality.md]

Seeds 0 to 9 are for development, 100 to 119 (--held-back) for the figures. Shares are of the way
from plans by lot to the plan of one who knows the truth. Ends with 1 if the plan's mean is below
.80, or the plan is not above both naive ones in every shop.
"""

import argparse
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.quality.run import write_between
from benchmarks.uplift.households import Households, households
from benchmarks.uplift.plans import Week, best_for_each, by_lot, earned, first_come, plan
from benchmarks.uplift.shop import CHANNEL_COST, HELD_OUT, MARGIN_RATE, Shop, history, names, shop
from recsys.errors import DataError
from recsys.value import Gained, measured, profit
from training.uplift.arms import RAREST
from training.uplift.choose import learn
from training.uplift.learners import lesson, ridge
from training.uplift.trial import Trial

HELD_BACK = range(100, 120)
ASKED = 0.8
BUDGET = 0.3
"""of what a coupon of mean cost for everybody would cost"""
LIMIT = 0.08
"""of the members can get the same coupon"""
SURE = 0.8
"""chance of an order without a push, of a sure buyer"""
LOTS = 20
"""plans by lot whose mean counts"""
PLAN, BEST, FIRST = "**plan**", "best for each", "first come"
LIKELY, ASSUMED = "likeliest to redeem", "plan, nobody held out"


def outcome(real: Households, seed: int, *, by_redemption: bool = False) -> dict[str, float | str]:
    """One shop: money of the oracle and by lot, and each plan's share of the way between.

    by_redemption: the effect is learned as orders for each redemption that is expected, as from a
    shop's own holdouts.
    """
    rng = np.random.default_rng(seed)
    made = shop(real, rng)
    drawn = history(made, rng)
    trial = Trial(
        names(made),
        drawn.features,
        drawn.pushed,
        np.full(len(drawn.pushed), 1 - HELD_OUT),
        drawn.ordered.astype(np.float64),
    )
    table = made.features[-1].reshape(-1, made.features.shape[-1])
    learned = lesson(trial)
    pushed = drawn.pushed
    line = ridge(learned.columns[pushed], drawn.redeemed[pushed].astype(np.float64))
    redeemed = np.clip(line.of(learned.basis.columns(table)), 0.0, 1.0)
    each = np.ones(len(redeemed))
    if by_redemption:
        dose = np.clip(line.of(learned.columns), RAREST, 1.0)
        trial, each = replace(trial, dose=dose), redeemed
    found = learn(trial, rng=rng)
    gained = measured(found.effect.of(table) * each, rows=len(trial), learner=found.learner)
    week = _week(made, _value(made, gained, redeemed))
    # the share that all shops have in the mean: what a shop would assume that knew it
    share = float((made.pushed - made.anyway).mean() / made.redeemed.mean())
    blind = _week(made, _value(made, Gained(redeemed * share, "assumed"), redeemed))
    likely = _week(made, redeemed.reshape(week.value.shape))
    true = _week(made, made.value[-1])
    plans = {
        PLAN: plan(week),
        BEST: best_for_each(week),
        FIRST: first_come(week),
        ASSUMED: plan(blind),
        LIKELY: best_for_each(likely),
    }
    oracle = earned(true.value, plan(true))
    lot = float(np.mean([earned(true.value, by_lot(true, rng)) for _ in range(LOTS)]))
    shares = {
        name: (earned(true.value, chosen) - lot) / (oracle - lot) for name, chosen in plans.items()
    }
    pairs = {
        "driven away": float((made.pushed[-1] < made.anyway[-1]).mean()),
        "sure buyers": float((made.anyway[-1] > SURE).mean()),
        "history": len(trial),
    }
    money = {"oracle": oracle, "by lot": lot}
    return {"seed": seed, "learner": found.learner, **money, **pairs, **shares}


def _value(made: Shop, gained: Gained, redeemed: np.ndarray) -> np.ndarray:
    """shape (members, coupons)"""
    order = made.order_amount[-1]
    value = profit(
        Gained(gained.orders.reshape(order.shape), gained.basis),
        redeemed.reshape(order.shape),
        margin=MARGIN_RATE * order,
        discount=made.face,
        cost=np.array(CHANNEL_COST),
    )
    return np.asarray(value, np.float64)


def _week(made: Shop, value: np.ndarray) -> Week:
    """The last week at these values: a push takes its channel's cost and the whole coupon."""
    cost = np.broadcast_to(made.face + CHANNEL_COST, value.shape)
    members = len(value)
    return Week(value, cost, BUDGET * members * float(cost.mean()), round(LIMIT * members))


def summary(found: pl.DataFrame) -> str:
    """Markdown."""
    lines = [
        "| plan | share of the way to the oracle: mean | lowest | highest | below the plan |",
        "|---|---|---|---|---|",
    ]
    plans = found[PLAN].to_numpy()
    for name in (PLAN, BEST, FIRST, ASSUMED, LIKELY):
        share = found[name].to_numpy()
        below = "–" if name == PLAN else f"{int((share < plans).sum())} of {len(share)}"
        cells = [f"{value:.3f}" for value in (share.mean(), share.min(), share.max())]
        lines.append(f"| {name} | {' | '.join(cells)} | {below} |")
    times = Counter(found["learner"].to_list())
    chosen = ", ".join(f"`{name}` {count}" for name, count in times.most_common())
    lot, oracle, away, sure, history_ = (
        float(found[name].to_numpy().mean())
        for name in ("by lot", "oracle", "driven away", "sure buyers", "history")
    )
    lines += [
        "",
        f"{len(found)} shops; the plan reaches {ASKED} in {int((plans >= ASKED).sum())} of them. "
        f"Learners chosen: {chosen}. Money of a week, mean: by lot {lot:,.0f}, oracle "
        f"{oracle:,.0f}. Pairs of household and coupon that a push drives away: {away:.0%}; sure "
        f"buyers: {sure:.0%}. Rows of history: {history_:,.0f}.",
    ]
    return "\n".join(lines) + "\n"


def met(found: pl.DataFrame) -> bool:
    """Whether the bars are reached."""
    above = (found[PLAN] > found[BEST]) & (found[PLAN] > found[FIRST])
    return bool(found[PLAN].to_numpy().mean() >= ASKED and above.all())


def main() -> int:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--seeds", default="0-9", help="first-last")
    parser.add_argument("--held-back", action="store_true")
    parser.add_argument(
        "--by-redemption", action="store_true", help="learn as from a shop's own holdouts"
    )
    parser.add_argument("--data", type=Path, help="the tables, if the package is not installed")
    parser.add_argument("--write", type=Path)
    asked = parser.parse_args()
    try:
        first, last = (int(part) for part in asked.seeds.split("-"))
    except ValueError:
        parser.error(f"--seeds is first-last, as in 0-9; not {asked.seeds}")
    try:
        real = households(asked.data)
    except DataError as error:
        print(error, file=sys.stderr)
        return 2
    found = []
    for seed in HELD_BACK if asked.held_back else range(first, last + 1):
        found.append(outcome(real, seed, by_redemption=asked.by_redemption))
        print({k: round(v, 3) if isinstance(v, float) else v for k, v in found[-1].items()})
    table = pl.DataFrame(found)
    print(text := summary(table))
    if asked.write:
        write_between(asked.write, "made shop", text)
    return int(not met(table))


if __name__ == "__main__":
    sys.exit(main())
