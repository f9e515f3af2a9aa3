"""A shop large enough to measure: members with a past, a plan with a holdout, orders after it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
from sqlalchemy import text

from campaigns.consent import import_consent
from campaigns.definition import Campaign
from campaigns.ledger.arms import read_arms
from campaigns.lift.facts import CampaignLift
from campaigns.lift.report import lift_report
from campaigns.run import Composition, plan_campaign, send_plan
from tests.campaigns.kit import NOW, Clock, TableOffers, composition, definition

TIME = pl.Datetime("us", "UTC")
ORDER = 20.0
"""money of each"""
MEMBERS = 480
TREBLE = {"treat": 3.0, "holdout": 1.0}.__getitem__
LATER = timedelta(minutes=5)
SENT = NOW + LATER


def names(count: int) -> list[str]:
    return [f"n{number:04d}" for number in range(count)]


def reopened(
    folder: Path, clock: Clock, url: str | None = None, *, members: int = 480
) -> Composition:
    """The shop that lies in a folder."""
    offers = TableOffers(["c1"], {(member, "c1"): 1.0 for member in names(members)}, {"c1": 0.5})
    shop = composition(folder, clock, offers)
    if url is None:
        return shop
    return replace(shop, settings=shop.settings.model_copy(update={"ledger_url": url}))


def lift_shop(
    folder: Path,
    clock: Clock,
    url: str | None = None,
    *,
    members: int = 480,
    shared: Mapping[str, str] | None = None,
) -> Composition:
    """Everyone has a past of some orders, and consented. shared: member → another's address."""
    shop = reopened(folder, clock, url, members=members)
    people = names(members)
    rng = np.random.default_rng(members)
    often = rng.gamma(2.0, 2.0, members)
    past = [
        (member, NOW - timedelta(days=float(rng.uniform(0.1, 90))))
        for member, times in zip(people, rng.poisson(often), strict=True)
        for _ in range(times)
    ]
    write_orders(shop, past, "past")
    address = {member: f"{member}@example.invalid" for member in people} | dict(shared or {})
    say(shop, address)
    return shop


def say(shop: Composition, address: Mapping[str, str], answer: str = "yes") -> None:
    """Consent, or none, under these addresses from now on."""
    file = shop.folder / "said.csv"
    at = (shop.now() - timedelta(minutes=1)).isoformat()
    rows = [f"{m},email,{where},{answer},{at},shop,UTC,en" for m, where in address.items()]
    file.write_text(
        "\n".join(["member_id,channel,address,consent,at,source,timezone,language", *rows]) + "\n"
    )
    with shop.open_ledger() as ledger:
        import_consent(file, ledger, now=shop.now())


def write_orders(shop: Composition, orders: Iterable[tuple[str, object]], name: str) -> None:
    """Member and instant of each, as a part of the dataset's events."""
    rows = list(orders)
    folder = shop.folder / "dataset" / "events"
    folder.mkdir(exist_ok=True)
    pl.DataFrame(
        {
            "member_id": [member for member, _ in rows],
            "product_id": ["tea"] * len(rows),
            "kind": ["purchase"] * len(rows),
            "occurred_at": pl.Series([at for _, at in rows], dtype=TIME),
            "order_id": [f"{name}-{place}" for place in range(len(rows))],
            "amount": [ORDER] * len(rows),
        }
    ).write_parquet(folder / f"{name}.parquet")


def a_campaign(**changes: object) -> Campaign:
    facts = {"campaign": "tea", "coupons": ["c1"], "holdout": 0.5, "budget": 10_000.0}
    return definition(**(facts | changes))


def planned_and_sent(shop: Composition, clock: Clock, **changes: object) -> str:
    """Sent a little later; the plan's id."""
    plan, _ = plan_campaign(shop, a_campaign(**changes))
    clock.instant += LATER
    send_plan(shop, plan.plan_id)
    return plan.plan_id


def arms_of(shop: Composition, count: int, campaign: str = "tea") -> dict[str, str]:
    """Member → arm, of the first draw."""
    with shop.open_ledger() as ledger:
        rows = read_arms(ledger, campaign).assigned
        drawn = {person: arm for epoch, person, _, arm in rows if epoch == 1}
        people = {member: ledger.identity.person(member) for member in names(count)}
    return {member: drawn[person] for member, person in people.items() if person in drawn}


def answered(
    shop: Composition,
    arms: Mapping[str, str],
    *,
    times: Callable[[str], float] = lambda _: 1.0,
    days: int = 28,
    name: str = "after",
    seed: int = 1,
) -> list[tuple[str, object]]:
    """Orders after NOW, one a fortnight of a member of factor 1. times: arm → factor."""
    rng = np.random.default_rng(seed)
    orders: list[tuple[str, object]] = [
        (member, NOW + timedelta(days=float(rng.uniform(0.01, days))))
        for member, arm in sorted(arms.items())
        for _ in range(rng.poisson(times(arm) * days / 14))
    ]
    orders.append((min(arms), NOW + timedelta(days=days + 0.1)))  # the dataset goes on until here
    write_orders(shop, orders, name)
    return orders


def lift_of(shop: Composition, campaign: str = "tea") -> CampaignLift:
    (found,) = lift_report(shop, [campaign]).campaigns
    return found


def forge(shop, statement, **values):
    with shop.open_ledger() as ledger, ledger.writing() as connection:
        return connection.execute(text(statement), values).rowcount


def person(shop, member):
    with shop.open_ledger() as ledger:
        return ledger.identity.person(member)


def effect(lift, outcome, day):
    return next(one for one in lift.effects if (one.outcome, one.day) == (outcome, day))
