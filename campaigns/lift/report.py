"""What campaigns earned: the numbers of the page, and of `--json`."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl

from campaigns.audience import Tables
from campaigns.instants import DAY, to_micros, words
from campaigns.ledger.arms import Arms, campaigns_sent, read_arms
from campaigns.ledger.ledger import Ledger
from campaigns.ledger.past_plans import past_plans
from campaigns.ledger.plans import outcomes as plan_outcomes
from campaigns.lift.always import (
    DAYS,
    LEAST_CLUSTERS,
    LEAST_SPENDERS,
    LEVEL,
    OUTCOMES,
    enough,
    estimated,
    start_of,
)
from campaigns.lift.checks import checks
from campaigns.lift.facts import Arm, CampaignLift, Day, Effect, Lift, LiftReport
from campaigns.lift.moments import Moments, moments
from campaigns.lift.outcomes import COVARIATES, known_until, outcomes
from campaigns.lift.sample import Sample, member_ids, planned, sample
from campaigns.plan import read_definition, read_plan, row_keys
from campaigns.run import Composition
from recsys.errors import CampaignError

_OPEN = ("live", "paused")
"""states of plans that may have rows without an outcome"""


@dataclass(frozen=True, slots=True)
class _Known:
    """What one campaign's lifts are made of."""

    arms: Arms
    rows: pl.DataFrame
    """see `planned`"""
    members: Mapping[str, str | None]
    dataset: Tables
    margin_rate: float
    minor_units: int
    until: int
    now: datetime


def lift_report(composition: Composition, campaigns: Sequence[str]) -> LiftReport:
    """CampaignError for a campaign of which nothing was sent."""
    now = composition.now()
    until = known_until(composition.dataset(), now)
    with composition.open_ledger() as ledger:
        known = campaigns_sent(ledger)
        for name in campaigns:
            if name not in known:
                raise CampaignError(
                    f"Nothing of campaign '{name}' was sent yet; sent: {', '.join(known) or 'none'}"
                )
        found = [
            _campaign(name, _known(name, composition, ledger, until=until, now=now))
            for name in dict.fromkeys(campaigns)
        ]
    return LiftReport(words(to_micros(now)), words(until), LEVEL, found)


def _known(
    name: str, composition: Composition, ledger: Ledger, *, until: int, now: datetime
) -> _Known:
    settings = composition.settings
    still_open: list[tuple[str, str]] = []
    margin_rate = None
    for past in past_plans(ledger, name):
        try:
            plan = read_plan(past.plan_id, composition.plans)
            definition = read_definition(plan, composition.plans)
        except CampaignError:
            if past.state in _OPEN:
                raise
            continue  # it went with age; the ledger has all of its rows
        if margin_rate is None:
            margin_rate = definition.margin_rate
        if past.state in _OPEN:
            done = plan_outcomes(ledger, plan.plan_id)
            keys = row_keys(plan, ledger)
            still_open += [(plan.plan_id, key) for key in keys if key not in done]
    arms = read_arms(ledger, name)
    return _Known(
        arms,
        planned(arms, still_open, ledger.identity),
        member_ids(arms),
        composition.dataset(),
        settings.margin_rate if margin_rate is None else margin_rate,
        settings.minor_units,
        until,
        now,
    )


def _campaign(name: str, known: _Known) -> CampaignLift:
    rows = known.rows
    if rows.is_empty():
        raise CampaignError(f"Of campaign '{name}' the ledger knows no arms, so it tells nothing")
    occasions = rows.group_by("occasion").agg(pl.col("slot").min()).sort("slot", "occasion")
    names = occasions["occasion"].to_list()
    latest = rows.filter(pl.col("epoch") == pl.col("epoch").max())  # arms before were other ones
    opening = latest.sort("slot", "occasion")["occasion"][0]
    first = pl.col("first") & (pl.col("occasion") == pl.lit(opening))
    whole = _lift(None, latest.with_columns(first), known)
    if len(names) == 1 and len(latest) == len(rows):
        return CampaignLift(name, known.margin_rate, whole, [replace(whole, occasion=names[0])])
    each = [_lift(one, rows.filter(pl.col("occasion") == one), known) for one in names]
    return CampaignLift(name, known.margin_rate, whole, each)


def _lift(occasion: str | None, rows: pl.DataFrame, known: _Known) -> Lift:
    some = sample(rows, known.members)
    epochs = some.people["epoch"].unique().sort().to_list()
    began, share = next(
        (at, float(share)) for number, share, at in known.arms.epochs if number == epochs[-1]
    )
    few = _too_few(some, share)
    done = []
    if len(epochs) == 1 and (occasion is None or not few):
        done = checks(some, known.rows, known.arms, share=share)
    withheld = [f"{one.name}: {one.found}" for one in done if not one.holds] + few
    if len(epochs) > 1:
        withheld.insert(
            0,
            f"the share held out was changed at {words(began)}, amid the sending, and the arms "
            "were drawn anew: what was before cannot be added to what came after",
        )
    days: list[Day] = []
    effects: list[Effect] = []
    if not withheld:
        days, effects = _measured(some, known)
        if not effects:
            withheld.append(_too_early(days, known))
    return Lift(
        occasion,
        words(int(some.people["slot"].to_numpy().min())),
        share,
        _arm(some, "treat"),
        _arm(some, "holdout"),
        _reached(some, occasion, known.arms),
        done,
        withheld,
        days,
        effects,
    )


def _reached(some: Sample, occasion: str | None, arms: Arms) -> int:
    """Of the treated, those whom a push of the occasion went to; of any, where it is None."""
    plans = {plan_id for plan_id, one, _ in arms.plans if occasion in (None, one)}
    sent = [who for plan_id, _, who, _, ghost, _ in arms.claims if plan_id in plans and not ghost]
    treated = some.people.filter(pl.col("arm") == "treat")["person"]
    return int(treated.is_in(sent).sum())


def _arm(some: Sample, arm: str) -> Arm:
    people = some.people.filter(pl.col("arm") == arm)
    gone = people.filter(pl.col("erased"))["cluster"].n_unique()
    return Arm(len(people), people["cluster"].n_unique(), gone)


def _measured(some: Sample, known: _Known) -> tuple[list[Day], list[Effect]]:
    table = outcomes(
        some,
        known.arms,
        known.dataset,
        known.members,
        margin_rate=known.margin_rate,
        minor_units=known.minor_units,
        now=known.now,
    )
    first = Sample(some.people.filter(pl.col("first")))
    start = start_of(len(first.clusters("treat")), len(first.clusters("holdout")))
    kept = some.people.filter(~pl.col("erased"))
    members = len(kept) / max(kept["cluster"].n_unique(), 1)
    days: list[Day] = []
    effects: list[Effect] = []
    for day in DAYS:
        over = table.filter(pl.col("slot") + day * DAY <= known.until)
        treat, hold = (_moments(over, arm, day) for arm in ("treat", "holdout"))
        days.append(Day(day, treat.count, hold.count))
        if enough(treat, hold, start):
            effects += _effects(day, treat, hold, start, members)
    return days, effects


def _moments(table: pl.DataFrame, arm: str, day: int) -> Moments:
    columns = [*COVARIATES, *(f"{name}@{day}" for name in OUTCOMES)]
    rows = table.filter(pl.col("arm") == arm).select(columns)
    return moments(rows.to_numpy().astype(np.float64).reshape(-1, len(columns)))


def _effects(
    day: int, treat: Moments, hold: Moments, start: float, members: float
) -> Iterator[Effect]:
    """members: of a cluster, mean; drawn before, so the same in both arms but for chance."""
    found, wide = estimated(treat, hold, start=start, covariates=len(COVARIATES))
    for at, name in reversed(list(enumerate(OUTCOMES))):  # what matters most first
        if not np.isfinite(wide[at]):
            continue
        middle, far = float(found.effect[at]), float(wide[at])
        plain = float(found.plain_error[at])
        yield Effect(
            name,
            day,
            planned=float(found.treated[at]) / members,
            without=float(found.held_out[at]) / members,
            effect=middle / members,
            low=(middle - far) / members,
            high=(middle + far) / members,
            total=middle * treat.count,
            total_low=(middle - far) * treat.count,
            total_high=(middle + far) * treat.count,
            narrowed=1 - float(found.error[at]) / plain if plain else 0.0,
        )


def _too_few(some: Sample, share: float) -> list[str]:
    if not share:
        return ["nobody is held out; give the campaign a holdout"]
    held_out, treated = len(some.clusters("holdout")), len(some.clusters("treat"))
    if min(held_out, treated) >= LEAST_CLUSTERS:
        return []
    return [
        f"{held_out:,} contact points are held out and {treated:,} are not; "
        f"below {LEAST_CLUSTERS} in each arm chance rules"
    ]


def _too_early(days: Sequence[Day], known: _Known) -> str:
    if not days[0].treated:
        return (
            f"the dataset ends at {words(known.until)}, before anyone's first day after the slot "
            "was over; drain the feed or import what came since"
        )
    if min(days[0].treated, days[0].held_out) < LEAST_CLUSTERS:
        return "too few members have lived through a day since their slot; look again tomorrow"
    return (
        "half of the planned members must have lived through a day since their slot, and what they "
        f"did since must not hang on fewer than {LEAST_SPENDERS} of them"
    )
