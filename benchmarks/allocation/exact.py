"""The allocator against the exact optimum (HiGHS, relative gap 0), on instances it never saw.

    python -m benchmarks.allocation.exact --json var/exact.json

Each of 200 instances has 500 members, 20 coupons, 4 campaigns, binding budgets and limits, and
minimums, some out of reach. Where HiGHS is stopped by its time limit, the missing value is taken
against the lower of its bound and the allocator's, both above the optimum, and the allocator's
bound is compared with the best plan found. Exits with 1 where a bar is missed.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from time import process_time
from typing import NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import csr_matrix, vstack

from benchmarks.allocation.instances import Instance, instance
from campaigns.allocation.allocate import Allocation, allocate
from campaigns.allocation.problem import rules_of, scale_of

FIRST_SEED = 6000
"""below it lie the seeds that the allocator was developed on"""
MEAN_GAP, WORST_GAP = 0.001, 0.01
ROUNDING = 1e-6
"""what HiGHS itself may break a constraint by"""


class Optimum(NamedTuple):
    """What HiGHS found within its time."""

    value: float
    bound: float
    proven: bool


def optimum(one: Instance, seconds: float) -> Optimum:
    """Solve an instance as a mixed-integer program."""
    choices, offers, limits, minimums = one[1:]
    scale = scale_of(choices, np.arange(choices.members), offers)
    rules = rules_of(scale, limits, minimums)
    size, gates = len(choices.value), len(minimums)
    member = np.repeat(np.arange(choices.members), np.diff(choices.offsets))
    place = np.arange(size)
    once = csr_matrix((np.ones(size), (member, place)), (choices.members, size + gates))
    # Each choice's rules, one entry each.
    starts, stops = rules.offsets[choices.offer], rules.offsets[choices.offer + 1]
    at = np.repeat(place, stops - starts)
    within = np.arange(len(at)) - np.repeat(
        np.cumsum(stops - starts) - (stops - starts), stops - starts
    )
    entry = np.repeat(starts, stops - starts) + within
    rule = rules.rules[entry]
    amount = np.where(rules.amount[entry] == 0, choices.cost[at], rules.amount[entry])
    gate = np.arange(gates)
    least = -rules.bound[len(limits) :]
    using = csr_matrix(
        (np.r_[amount, least], (np.r_[rule, len(limits) + gate], np.r_[at, size + gate])),
        (len(rules.bound), size + gates),
    )
    # Without the campaign, none of its choices: summed over the members.
    gated = rule >= len(limits)
    shut = csr_matrix(
        (
            np.r_[np.ones(gated.sum()), np.full(gates, -float(choices.members))],
            (np.r_[rule[gated] - len(limits), gate], np.r_[at[gated], size + gate]),
        ),
        (gates, size + gates),
    )
    most = np.r_[np.ones(choices.members), rules.bound[: len(limits)], np.zeros(2 * gates)]
    found = milp(
        np.r_[-choices.value.astype(np.float64), np.zeros(gates)],
        constraints=LinearConstraint(vstack([once, using, shut]).tocsr(), -np.inf, most),
        integrality=np.ones(size + gates),
        bounds=Bounds(0, 1),
        options={"mip_rel_gap": 0, "time_limit": seconds},
    )
    value = 0.0 if found.fun is None else -float(found.fun)
    bound = float("inf") if found.mip_dual_bound is None else -float(found.mip_dual_bound)
    return Optimum(value, bound, found.status == 0)


def keeps_the_rules(one: Instance, plan: Allocation) -> bool:
    """Recounted from the plan alone."""
    places = plan.chosen[plan.chosen >= 0]
    offer, cost = one.choices.offer[places], one.choices.cost[places].astype(np.int64)
    member = np.searchsorted(one.choices.offsets, places, "right") - 1
    fine = bool((member == np.flatnonzero(plan.chosen >= 0)).all())
    for limit in one.limits:
        inside = np.isin(offer, limit.offers)
        used = cost[inside].sum() if limit.money else inside.sum()
        if limit.amounts is not None:
            amount = dict(zip(limit.offers, limit.amounts, strict=True))
            used = sum(amount[one] for one in offer[inside].tolist())
        fine &= bool(used <= limit.most)
    for minimum, runs in zip(one.minimums, plan.runs, strict=True):
        pushes = int(np.isin(offer, minimum.offers).sum())
        fine &= pushes >= minimum.least if runs else pushes == 0
    return fine


def compared(seed: int, seconds: float, *, discounts: bool) -> dict[str, float | str | bool]:
    """One instance both ways."""
    one = instance(seed, discounts=discounts)
    members = one.choices.members
    lots = np.random.default_rng(seed).random(members)
    started = process_time()
    plan = allocate(
        one.choices,
        offers=one.offers,
        limits=one.limits,
        minimums=one.minimums,
        held_out=np.zeros(members, np.bool_),
        lots=lots,
    )
    spent = process_time() - started
    best = optimum(one, seconds)
    bound = best.bound if best.proven else min(best.bound, plan.bound)
    return {
        "seed": seed,
        "shape": one.shape,
        "value": plan.value,
        "bound": plan.bound,
        "optimum": best.value,
        "optimum_bound": best.bound,
        "proven": best.proven,
        "gap": plan.gap,
        "true_gap": max(0.0, (bound - plan.value) / max(bound, 1e-9)),
        "feasible": keeps_the_rules(one, plan),
        "honest": plan.bound >= best.value - ROUNDING * max(abs(best.value), 1),
        "cpu_seconds": spent,
    }


def main(arguments: argparse.Namespace) -> int:
    """Compares all instances, prints a table, and returns the exit code."""
    rows = []
    for seed in range(arguments.first, arguments.first + arguments.instances):
        rows.append(compared(seed, arguments.seconds, discounts=arguments.discounts))
        if arguments.json:
            arguments.json.write_text(json.dumps(rows, indent=1))
    true = np.array([row["true_gap"] for row in rows], np.float64)
    reported = np.array([row["gap"] for row in rows], np.float64)
    feasible, honest = (all(row[word] for row in rows) for word in ("feasible", "honest"))
    unproven = sum(not row["proven"] for row in rows)
    seconds = sorted(float(row["cpu_seconds"]) for row in rows)
    print(f"{len(rows)} instances from seed {arguments.first}; HiGHS stopped after "
          f"{arguments.seconds:g} s in {unproven} of them")  # fmt: skip
    for shape in dict.fromkeys(row["shape"] for row in rows):
        of = np.array([row["shape"] == shape for row in rows])
        print(f"  {shape:<12} {of.sum():>4}  missing {true[of].mean():.4%} mean "
              f"{true[of].max():.4%} worst; reported {reported[of].mean():.4%} "
              f"{reported[of].max():.4%}")  # fmt: skip
    proven = np.array([row["proven"] for row in rows])
    print(f"missing to the optimum: {true.mean():.4%} mean, {true.max():.4%} worst; of the proven "
          f"{true[proven].mean():.4%} mean, {true[proven].max(initial=0):.4%} worst")  # fmt: skip
    print(f"reported gap: {reported.mean():.4%} mean, {reported.max():.4%} worst; "
          f"never below the true one: {honest}; every rule kept: {feasible}")  # fmt: skip
    print(f"CPU seconds a plan: {np.median(seconds):.2f} median, {seconds[-1]:.2f} most; "
          f"load {os.getloadavg()[0]:.1f}")  # fmt: skip
    good = feasible and honest and true.mean() <= MEAN_GAP and true.max() <= WORST_GAP
    return int(not good)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="plans against exact optima")
    parser.add_argument("--instances", type=int, default=200)
    parser.add_argument("--first", type=int, default=FIRST_SEED, help="the first seed")
    parser.add_argument("--seconds", type=float, default=20, help="for HiGHS, each instance")
    parser.add_argument("--discounts", action="store_true", help="limit what comes off orders, too")
    parser.add_argument("--json", type=Path, help="write all rows there")
    sys.exit(main(parser.parse_args()))
