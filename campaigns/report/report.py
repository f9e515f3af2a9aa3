"""What there is to say of a plan: the numbers of the page, and of `--json`."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from math import inf

import numpy as np
import polars as pl

from campaigns.account import Account
from campaigns.account_pages import account_facts, dear_caps, minimum_words, next_words
from campaigns.definition import Campaign
from campaigns.instants import to_micros, words
from campaigns.ledger.ledger import Ledger
from campaigns.ledger.past_plans import Past, past_plans
from campaigns.pages import DECISIONS
from campaigns.plan import SCHEMA, Plan, read_definition, read_plan
from campaigns.report.changes import Change, change, left_out
from campaigns.report.facts import LeftOut, OfCampaign, OfCoupon, Report, Scenario, Shown, Simple
from campaigns.report.sums import Pushes, Sums, even_share, joined, luck, pushes_of, sums, value_if
from campaigns.run import Composition
from campaigns.showcase import coupon_titles
from recsys.errors import CampaignError
from recsys.ids import unit_interval

BEST, DRAWN = 8, 8
"""pushes shown of each campaign: those worth most, and some of the rest by lot"""
COUPONS = 12
"""shown of each campaign, those with most pushes"""
TIMES = (0.5, 1.0, 1.5)
"""how far assumptions are varied"""


def report(composition: Composition, plan_id: str) -> Report:
    """CampaignError for a plan that is absent, damaged, or of an earlier version."""
    asked = read_plan(plan_id, composition.plans)
    settings, now = composition.settings, composition.now()
    with composition.open_ledger() as ledger:
        plans, absent = _together(asked, composition, ledger)
        titles = coupon_titles(composition.dataset())
        parts = [pushes_of(one.rows, settings.minor_units) for one in plans]
        # The same every time, and campaigns apart from each other.
        lucks = [
            luck(part, np.random.default_rng(int(one.plan_id, 16)))
            for part, one in zip(parts, plans, strict=True)
        ]
        campaigns = [
            _campaign(one, sums(part, drawn), composition, ledger, titles)
            for one, part, drawn in zip(plans, parts, lucks, strict=True)
        ]
    pushes = joined(parts)
    account, total = asked.account, sums(pushes, np.sum(lucks, axis=0))
    naive = None
    if account.naive_value is not None:
        naive = Simple(
            sum(one.pushes for one in account.naive),
            sum(one.cost for one in account.naive) / settings.minor_units,
            account.naive_value,
        )
    return Report(
        plan_id,
        words(to_micros(now)),
        campaigns,
        absent,
        total,
        account_facts(account, settings),
        [next_words(cap, settings) for cap in dear_caps(account)],
        [minimum_words(one) for one in account.minimums],
        naive,
        _kept(plans),
        list(_scenarios(pushes, account)),
        account.basis,
    )


def _kept(plans: Sequence[Plan]) -> float:
    """Each slot once, though all campaigns tell of it."""
    kept = (pl.col("decision") == "kept") & (pl.col("arm") == "treat")
    rows = pl.concat([one.rows.filter(kept) for one in plans])
    return float(rows.unique("member_id")["expected_value"].sum())


def _together(asked: Plan, composition: Composition, ledger: Ledger) -> (
    tuple[list[Plan], list[str]]
):  # fmt: skip
    """The plans that share an account, in the order they were given in, and the occasions of
    those that cannot be read."""
    _check(asked)
    plans, absent = [], []
    for occasion in asked.account.occasions:
        found = asked if occasion == asked.occasion else None
        for past in past_plans(ledger, occasion.rpartition("@")[0]) if found is None else []:
            if past.occasion != occasion:
                continue
            try:
                other = read_plan(past.plan_id, composition.plans)
            except CampaignError:
                continue
            if other.account == asked.account:
                found = other
                break
        if found is None:
            absent.append(occasion)
        else:
            plans.append(found)
    return plans, absent


def _check(plan: Plan) -> None:
    if set(SCHEMA) - set(plan.rows.columns):
        raise CampaignError(
            f"The plan {plan.plan_id} is of an earlier version, which did not keep what "
            "redemptions would cost; plan again"
        )


def _campaign(
    plan: Plan, total: Sums, composition: Composition, ledger: Ledger, titles: Mapping[str, str]
) -> OfCampaign:
    minor = composition.settings.minor_units
    definition = read_definition(plan, composition.plans)
    last, gone = _last(plan, definition, composition, ledger)
    pushed = plan.rows.filter(pl.col("decision") == "push")
    coupons = (
        pushed.group_by("coupon_id")
        .agg(pl.len(), pl.col("cost").sum() / minor, pl.col("expected_value").sum())
        .sort(["len", "coupon_id"], descending=[True, False])
    )
    naive = next((one for one in plan.account.naive if one.campaign == definition.campaign), None)
    return OfCampaign(
        definition.campaign,
        definition.title,
        plan.plan_id,
        _time(definition.starts_at),
        _time(definition.ends_at),
        definition.audience,
        len(plan.rows),
        plan.counts()["held_out"],
        definition.budget,
        definition.margin_rate,
        definition.coupon_value,
        definition.holdout,
        total,
        None if naive is None else Simple(naive.pushes, naive.cost / minor, naive.value),
        list(_left_out(plan.rows, last)),
        [
            OfCoupon(coupon, titles.get(coupon), *rest)
            for coupon, *rest in coupons.head(COUPONS).iter_rows()
        ],
        max(0, len(coupons) - COUPONS),
        list(_shown(pushed, plan.plan_id, titles, minor)),
        last,
        gone,
    )


def _last(
    plan: Plan, definition: Campaign, composition: Composition, ledger: Ledger
) -> tuple[Change | None, str | None]:
    """Against the plan that the campaign had before this one."""
    past = past_plans(ledger, definition.campaign)
    own = next((one for one in past if one.plan_id == plan.plan_id), None)
    before: Past | None = next((one for one in past if own is not None and one.at < own.at), None)
    if before is None:
        return None, None
    try:
        then = read_plan(before.plan_id, composition.plans)
    except CampaignError:
        return None, before.plan_id
    told = change(
        plan.rows,
        then.rows,
        plan=before.plan_id,
        made=words(before.at),
        state=before.state,
        occasion=before.occasion,
        minor_units=composition.settings.minor_units,
    )
    return told, None


def _left_out(rows: pl.DataFrame, last: Change | None) -> Iterator[LeftOut]:
    counts = left_out(rows)
    then = {} if last is None else last.left_out
    for decision in [*counts, *(one for one in then if one not in counts)]:
        reasons = rows.filter(pl.col("decision") == decision)["reason"].value_counts()
        common = reasons.sort(["count", "reason"], descending=[True, False])["reason"]
        yield LeftOut(
            decision,
            DECISIONS.get(decision, decision),
            counts.get(decision, 0),
            None if last is None else then.get(decision, 0),
            # Of those held out it says what they would have got for.
            "" if decision == "held_out" or common.is_empty() else str(common[0]),
        )


def _shown(
    pushed: pl.DataFrame, plan_id: str, titles: Mapping[str, str], minor: int
) -> Iterator[Shown]:
    ordered = pushed.sort(["expected_value", "member_id"], descending=[True, False])
    rest = ordered.slice(BEST)
    lots = pl.Series("lot", [unit_interval(plan_id, m) for m in rest["member_id"]], pl.Float64)
    drawn = rest.with_columns(lots).sort("lot").head(DRAWN).drop("lot")
    drawn = drawn.sort(["expected_value", "member_id"], descending=[True, False])
    for some, by_lot in ((ordered.head(BEST), False), (drawn, True)):
        for row in some.iter_rows(named=True):
            yield Shown(
                row["member_id"],
                row["coupon_id"],
                titles.get(row["coupon_id"]),
                row["expected_value"],
                row["probability"],
                row["cost"] / minor,
                row["reason"],
                by_lot,
            )


def _scenarios(pushes: Pushes, account: Account) -> Iterator[Scenario]:
    if account.assumed is not None:
        brought = ("incremental_share", "share", account.assumed.incremental_share, 1.0)
    elif account.basis is not None:
        brought = ("measured effect", "share", 1.0, inf)
    else:
        return
    if not len(pushes.value):
        return
    of_plan = (("redemptions", "rate", 1.0, inf), brought)
    for name, key, assumed, most in of_plan:
        others = {min(assumed * times, most) for times in TIMES} if assumed else set()
        at = {
            f"{other:.4g}": value_if(pushes, **{key: other / assumed}) for other in sorted(others)
        }
        even = even_share(pushes) * assumed if key == "share" else inf
        yield Scenario(name, assumed, at, even if even < inf and even <= most else None)


def _time(instant: datetime) -> str:
    return words(to_micros(instant))
