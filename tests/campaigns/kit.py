"""A small shop for campaign tests: real files, a real ledger, offers from a table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from campaigns.consent import import_consent
from campaigns.definition import Campaign
from campaigns.ledger.calls import Claim
from campaigns.ledger.consent import Statement, record
from campaigns.ledger.ledger import Ledger, open_ledger
from campaigns.ledger.plans import UNLIMITED, Registered, register
from campaigns.ledger.purses import purses
from campaigns.offers import Offers
from campaigns.run import Composition
from campaigns.settings import CampaignSettings
from recsys.dataset import Dataset
from recsys.value import assumption

NOW = datetime(2017, 12, 1, 9, tzinfo=UTC)
WEEK = timedelta(days=7)
MEMBERS = [f"m{number}" for number in range(8)]


@dataclass
class Clock:
    """A clock that tests turn by hand."""

    instant: datetime = NOW

    def __call__(self) -> datetime:
        return self.instant

    def turn(self, **by: float) -> None:
        self.instant += timedelta(**by)


@dataclass(frozen=True)
class TableOffers:
    """Values written down; what is not written is not eligible."""

    coupon_ids: list[str]
    value: Mapping[tuple[str, str], float]
    cost: Mapping[str, float] = field(default_factory=dict)
    discount: Mapping[str, float] = field(default_factory=dict)
    """money off, whatever is ordered; inf: a share of the order, which is 20"""
    probability: float = 0.1
    basis: str = assumption(0.3)

    def offers(self, member_ids: Sequence[str], /) -> Offers:
        value = np.array(
            [[self.value.get((m, c), -np.inf) for c in self.coupon_ids] for m in member_ids],
            np.float64,
        ).reshape(len(member_ids), len(self.coupon_ids))
        cost = np.array([self.cost.get(coupon, 0.0) for coupon in self.coupon_ids])
        most = np.array([self.discount.get(coupon, 1.0) for coupon in self.coupon_ids])
        off = np.broadcast_to(np.where(np.isfinite(most), most, 2.0), value.shape)
        chance = np.where(np.isfinite(value), self.probability, 0.0)
        return Offers(self.coupon_ids, value, chance, cost, off, most, self.basis)

    def explain(self, member_id: str, coupon_id: str, /) -> str:
        return f"{member_id} often buys what {coupon_id} is for"


def write_dataset(folder: Path) -> Dataset:
    """Eight members, four products, two coupons."""
    folder.mkdir(parents=True, exist_ok=True)
    bought = [(m, p) for i, m in enumerate(MEMBERS) for p in ("tea", "milk", "bread")[: 1 + i % 3]]
    pl.DataFrame(
        {
            "member_id": [m for m, _ in bought],
            "product_id": [p for _, p in bought],
            "kind": ["purchase"] * len(bought),
            "occurred_at": [NOW - timedelta(days=3)] * len(bought),
            "order_id": [f"order-{m}" for m, _ in bought],
            "amount": [2.5] * len(bought),
        }
    ).write_parquet(folder / "events.parquet")
    pl.DataFrame({"member_id": MEMBERS, "region": ["north", "south"] * 4}).write_parquet(
        folder / "members.parquet"
    )
    pl.DataFrame(
        {
            "product_id": ["tea", "milk", "bread", "salt"],
            "title": ["Green tea", "Milk", "Bread", "Salt"],
            "category": ["DRINKS > TEA", "DRINKS > MILK", "BAKERY", "PANTRY"],
        }
    ).write_parquet(folder / "products.parquet")
    pl.DataFrame({"coupon_id": ["c1", "c2"], "title": ["1 € off drinks", None]}).write_parquet(
        folder / "coupons.parquet"
    )
    pl.DataFrame(
        {
            "coupon_id": ["c1", "c2"],
            "product_id": [None, "bread"],
            "category": ["DRINKS", None],
        }
    ).write_parquet(folder / "coupon_products.parquet")
    pl.DataFrame({"campaign_id": ["24", "24"], "coupon_id": ["c1", "c2"]}).write_parquet(
        folder / "campaign_coupons.parquet"
    )
    return Dataset(folder)


def write_consent(path: Path, members: Sequence[str] = MEMBERS, answer: str = "yes") -> Path:
    rows = [
        f"{m},email,{m}@example.invalid,{answer},{(NOW - WEEK).isoformat()},shop,UTC,en"
        for m in members
    ]
    path.write_text(
        "member_id,channel,address,consent,at,source,timezone,language\n" + "\n".join(rows) + "\n"
    )
    return path


def definition(**changes: object) -> Campaign:
    facts: dict[str, object] = {
        "campaign": "24",
        "title": "Your week",
        "starts_at": NOW,
        "ends_at": NOW + WEEK,
        "coupons": {"from_campaign": "24"},
        "budget": 100.0,
        "holdout": 0.0,
    }
    return Campaign.model_validate(facts | changes)


def tea(**changes: object) -> Campaign:
    """A campaign of the first coupon alone."""
    return definition(**({"campaign": "tea", "coupons": ["c1"]} | changes))


def bread(**changes: object) -> Campaign:
    """A campaign of the second coupon alone."""
    return definition(**({"campaign": "bread", "coupons": ["c2"]} | changes))


def composition(
    folder: Path,
    clock: Callable[[], datetime],
    offers: TableOffers | Mapping[str, TableOffers] | None = None,
) -> Composition:
    """Over a fresh folder: dataset and consent of all members but the last are there.

    offers: one table for all campaigns, or one for each.
    """
    dataset = write_dataset(folder / "dataset")
    value = {(m, "c1"): 1.0 + i / 10 for i, m in enumerate(MEMBERS)} | {("m1", "c2"): 9.0}
    table = offers or TableOffers(["c1", "c2"], value, {"c1": 0.5})
    made = Composition(
        settings=CampaignSettings(),
        now=clock,
        clock="simulated",
        folder=folder,
        dataset=lambda: dataset,
        offers=lambda campaign, coupons, now: (
            table if isinstance(table, TableOffers) else table[campaign.campaign]
        ),
    )
    if not (folder / "ledger.db").exists():
        # One key in every run: hashes of people draw the arms.
        key = folder / "ledger.key"
        key.write_text("5e" * 32)
        key.chmod(0o600)
        with made.open_ledger() as ledger:
            consent = write_consent(folder / "consent.csv", MEMBERS[:-1])
            import_consent(consent, ledger, now=clock())
    return made


def over(shop: Composition, url: str) -> Composition:
    """The shop over another ledger, in which the same members consented."""
    made = replace(shop, settings=shop.settings.model_copy(update={"ledger_url": url}))
    with made.open_ledger() as ledger:
        import_consent(shop.folder / "consent.csv", ledger, now=shop.now())
    return made


def open_test_ledger(url: str, folder: Path, now: datetime = NOW) -> Ledger:
    return open_ledger(url, folder / "ledger.key", clock="simulated", now=now)


def consenting(ledger: Ledger, member: str, address: str | None = None) -> tuple[str, str]:
    """A member who agreed; their person and contact hashes."""
    address = address or f"{member}@example.invalid"
    statement = Statement(member, "email", address, True, NOW - WEEK, "test", "UTC")
    record(ledger, [statement], now=NOW - WEEK)
    return ledger.identity.person(member), ledger.identity.contact("email", address)


def live_plan(
    ledger: Ledger,
    campaign: str = "24",
    *,
    limits: Mapping[str, int] | None = None,
    coupon: str = "c1",
    rows: int = 1,
    now: datetime = NOW,
) -> Registered:
    """A registered plan, and purses without limits but for the given ones."""
    plan = Registered(f"plan-{campaign}", f"{campaign}@{now:%Y-%m-%d}", campaign, "live")
    unlimited = {name: UNLIMITED for _, name, _ in purses(campaign, coupon, 0)}
    register(
        ledger,
        plan,
        skipped={},
        planned_rows=rows,
        purses=unlimited | dict(limits or {}),
        replaced_rows=[],
        now=now,
    )
    return plan


def a_claim(plan: Registered, who: tuple[str, str], **changes: object) -> Claim:
    facts: dict[str, object] = {
        "plan_id": plan.plan_id,
        "occasion": plan.occasion,
        "campaign": plan.campaign,
        "coupon": "c1",
        "channel": "email",
        "person": who[0],
        "contact": who[1],
        "cost": 50,
    }
    return Claim(**(facts | changes))  # type: ignore[arg-type]
