"""A million members, 200 coupons, 5 campaigns: scored, allocated, written.

    python -m benchmarks.allocation.large --folder var/allocation

Each pair of member and coupon has 20 features, written out in chunks and scored by a logistic with
seeded weights. A coupon is in two campaigns; a campaign's audience is a random half of the members,
so that a member has 200 choices on average. The budget is 30 % of what members would cost unbound;
every second coupon's limit, and the minimums of two campaigns, are set to bind. Exits with 1 where
a bar is missed.
"""

import argparse
import json
import os
import resource
import sys
from pathlib import Path
from time import perf_counter, process_time
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray

from campaigns.allocation.allocate import Allocation, allocate
from campaigns.allocation.problem import Choices, Limit, Minimum, join

COUPONS, CAMPAIGNS, FEATURES = 200, 5, 20
CHUNK = 4096
MOST_SECONDS, MOST_ALLOCATING, MOST_GIB, MOST_GAP = 150.0, 60.0, 6.0, 1e-4
Floats = NDArray[np.float32]


class Shop(NamedTuple):
    """Everything drawn once, from the seed."""

    coupon: Floats
    """shape (coupons, features)"""
    weights: Floats
    """shape (features,)"""
    face: Floats
    """shape (coupons,): money off when redeemed"""
    campaign: NDArray[np.int64]
    """shape (coupons, 2): the campaigns that a coupon is in"""
    lift: Floats
    """shape (campaigns,): how well its messages do"""


def shop(seed: int) -> Shop:
    """Coupons and campaigns."""
    rng = np.random.default_rng(seed)
    first = np.arange(COUPONS) % CAMPAIGNS
    return Shop(
        rng.normal(0, 1, (COUPONS, FEATURES)).astype(np.float32),
        rng.normal(0, 0.35, FEATURES).astype(np.float32),
        rng.uniform(0.5, 5, COUPONS).astype(np.float32),
        np.column_stack([first, (first + rng.integers(1, CAMPAIGNS, COUPONS)) % CAMPAIGNS]),
        rng.uniform(0.8, 1.2, CAMPAIGNS).astype(np.float32),
    )


def redemption(features: Floats, weights: Floats) -> Floats:
    """shape (members, coupons): chance that a push is redeemed; features: (…, features)."""
    odds: Floats = np.exp(features @ weights - 3)
    return odds / (1 + odds)


def chunk(of: Shop, start: int, members: int, seed: int) -> Choices:
    """The choices of some members; an offer is coupon x 2 + which of its campaigns."""
    rng = np.random.default_rng((seed, start))
    person = rng.normal(0, 1, (members, 1, FEATURES)).astype(np.float32)
    order = rng.gamma(3, 12, (members, 1)).astype(np.float32)
    audience = rng.random((members, CAMPAIGNS)) < 0.5
    chance = redemption(person * of.coupon, of.weights)
    gained = chance * (0.12 * order - 0.3 * of.face)
    value = (gained[:, :, None] * of.lift[of.campaign] - 0.02).reshape(members, -1)
    cost = 100 * (0.02 + chance * of.face)
    cents = np.repeat(np.ceil(cost), 2, axis=1).astype(np.int32)
    eligible = audience[:, of.campaign].reshape(members, -1)
    offer = np.broadcast_to(np.arange(2 * COUPONS, dtype=np.uint16), eligible.shape)
    offsets = np.concatenate([[0], np.cumsum(eligible.sum(axis=1))]).astype(np.int64)
    return Choices(offsets, value[eligible], cents[eligible], offer[eligible])


def limits_for(of: Shop, choices: Choices) -> tuple[list[Limit], list[Minimum]]:
    """Limits at 60 % of what each second coupon would be used, at 200 % for the others; minimums at
    115 % of the least used campaigns. What would be used is asked of every fiftieth member."""
    unbound = planned(choices, [Limit("budget", 1 << 60, range(2 * COUPONS), money=True)], [])
    budget = Limit("budget", int(0.3 * int(unbound.used[0])), range(2 * COUPONS), money=True)
    rows = np.arange(0, choices.members, 50)
    sizes = np.diff(choices.offsets)[rows]
    starts = np.cumsum(sizes) - sizes
    places = np.repeat(choices.offsets[rows] - starts, sizes) + np.arange(sizes.sum())
    offsets = np.concatenate([starts, [sizes.sum()]]).astype(np.int64)
    sample = Choices(offsets, *(column[places] for column in choices[1:]))
    share = choices.members / len(rows)
    scaled = Limit("budget", int(budget.most / share), budget.offers, money=True)
    found = planned(sample, [scaled], [])
    offer = sample.offer[found.chosen[found.chosen >= 0]].astype(np.int64)
    used = np.bincount(offer // 2, minlength=COUPONS) * share
    running = np.bincount(of.campaign.ravel()[offer], minlength=CAMPAIGNS) * share
    of_campaign = [np.flatnonzero(of.campaign.ravel() == one) for one in range(CAMPAIGNS)]
    limits = [budget]
    limits += [
        Limit(
            f"coupon {one}", int(used[one] * (2.0 if one % 2 else 0.6)) + 1, [2 * one, 2 * one + 1]
        )
        for one in range(COUPONS)
    ]
    limits += [
        Limit(f"budget {one}", int(0.5 * budget.most), those, money=True)
        for one, those in enumerate(of_campaign)
    ]
    minimums = [
        Minimum(f"minimum {one}", int(1.15 * running[one]), of_campaign[one])
        for one in np.argsort(running)[:2].tolist()
    ]
    return limits, minimums


def planned(choices: Choices, limits: list[Limit], minimums: list[Minimum]) -> Allocation:
    """The plan; lots by a fixed sequence, as if from hashes."""
    members = choices.members
    return allocate(
        choices,
        offers=2 * COUPONS,
        limits=limits,
        minimums=minimums,
        held_out=np.zeros(members, np.bool_),
        lots=np.random.default_rng(members).random(members),
    )


def write(path: Path, choices: Choices, plan: Allocation, of: Shop) -> None:
    """One row for each member, in a Parquet file."""
    at = plan.chosen
    none = at < 0
    offer = choices.offer[at].astype(np.int64)
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(
        {
            "member": np.arange(choices.members),
            "coupon": offer // 2,
            "campaign": of.campaign.ravel()[offer],
            "value": choices.value[at],
            "cost": choices.cost[at],
            "none": none,
        }
    ).with_columns(
        pl.when(~pl.col("none")).then(pl.col("coupon", "campaign", "value", "cost"))
    ).drop("none").write_parquet(path)  # fmt: skip


def main(arguments: argparse.Namespace) -> int:
    """Runs all of it once, prints what it took, and returns the exit code."""
    of, members, seed = shop(arguments.seed), arguments.members, arguments.seed
    # The compiler's own time is no part of it: a first plan of few members has it done.
    few = chunk(of, 0, 64, seed)
    planned(few, [Limit("budget", 1000, range(2 * COUPONS), money=True)], [])
    started = perf_counter()
    choices = join(
        [chunk(of, at, min(CHUNK, members - at), seed) for at in range(0, members, CHUNK)]
    )
    scored = perf_counter() - started
    limits, minimums = limits_for(of, choices)
    began, worked = perf_counter(), process_time()
    plan = planned(choices, limits, minimums)
    allocated, worked = perf_counter() - began, process_time() - worked
    began = perf_counter()
    write(arguments.folder / "plan.parquet", choices, plan, of)
    written = perf_counter() - began
    coupons = limits[1 : 1 + COUPONS]
    full = sum(used >= one.most for one, used in zip(coupons, plan.used[1:].tolist(), strict=False))
    pushed = np.isin(choices.offer[plan.chosen[plan.chosen >= 0]], minimums[0].offers).sum()
    facts = {
        "members": members,
        "choices": len(choices.value),
        "seconds_scoring": round(scored, 1),
        "seconds_allocating": round(allocated, 1),
        "cpu_seconds_allocating": round(worked, 1),
        "seconds_writing": round(written, 1),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "load": round(os.getloadavg()[0], 1),
        "value": round(plan.value, 2),
        "bound": round(plan.bound, 2),
        "gap": plan.gap,
        "budget_used": round(int(plan.used[0]) / limits[0].most, 6),
        "next_1000_earn": round(float(plan.prices[0]) * 100_000, 2),
        "coupon_limits_reached": f"{full} of {COUPONS}",
        "minimums": [f"{m.name}: {m.least}" for m in minimums],
        "run": plan.runs.tolist(),
        "pushes_of_the_first": int(pushed),
    }
    print(json.dumps(facts, indent=1))
    good = (
        scored + allocated + written <= MOST_SECONDS
        and allocated <= MOST_ALLOCATING
        and facts["peak_gib"] <= MOST_GIB
        and plan.gap <= MOST_GAP
        and bool(plan.runs.all())
    )
    return int(not good)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="a plan for a million members")
    parser.add_argument("--members", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, default=Path("var/allocation"))
    sys.exit(main(parser.parse_args()))
