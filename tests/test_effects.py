"""Plans learn from the shop's own holdout: ledger, drain, model, plan."""

import asyncio
import dataclasses
import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import composition
import serving.cli
from campaigns.definition import Campaign
from campaigns.explain import explain_member
from campaigns.ledger.consent import Statement, record
from campaigns.ledger.erasing import erase
from campaigns.ledger.redemptions import Use, redeem
from campaigns.plan import Plan
from campaigns.report.page import rendered
from campaigns.report.report import report
from campaigns.run import Composition, plan_campaign, send_plan
from campaigns.settings import CampaignSettings
from campaigns.valuation import ModelOffers
from recsys.dataset import Dataset
from recsys.model import Model
from recsys.offers import worth
from serving.drain_promised import PROMISED
from serving.models import open_current
from tests.training.uplift.moved_shop import (
    AMOUNT,
    AS_OF,
    MEMBERS,
    PUSH,
    PUSHED,
    REDEEMED,
    REGULARS,
    brought,
    week_after,
    write_moved_shop,
    write_orders,
)  # fmt: skip
from training.config import TrainingSettings
from training.publish import publish
from training.run import train

MARGIN, SHARE = 0.25, 0.5
TRAINING = TrainingSettings(min_support=1)
TABLES = ("pushes", "redemptions", "arms")
GONE = MEMBERS[0]
SECOND = PUSH + timedelta(days=14)


@dataclasses.dataclass
class Shop:
    """A home whose clock is turned by hand."""

    home: Path
    instant: datetime = PUSH

    @property
    def settings(self) -> composition.Settings:
        campaigns = CampaignSettings(margin_rate=MARGIN)
        return composition.Settings(home=self.home, campaigns=campaigns)

    @property
    def campaigns(self) -> Composition:
        return composition.campaign_composition(
            self.settings, lambda: self.instant, name="simulated"
        )

    @property
    def dataset(self) -> Path:
        return self.home / "dataset"

    def drain(self) -> dict[str, bytes]:
        """The bytes of what the ledger told."""
        at = composition.serving_composition(self.settings)
        asyncio.run(serving.cli.drained(at, self.dataset))
        return {table: (self.dataset / table / PROMISED).read_bytes() for table in TABLES}

    def train(self, as_of: datetime) -> Model:
        models = self.home / "models"
        version = train(Dataset(self.dataset), models, TRAINING, as_of=as_of)
        publish(models, version, TRAINING, now=self.instant, force=True)
        return open_current(models)

    def campaign(self, name: str, starts: datetime) -> Campaign:
        return Campaign(
            campaign=name, title="For you", starts_at=starts, ends_at=starts + timedelta(days=5),
            coupons=["a"], budget=1_000, holdout=SHARE,
        )  # fmt: skip


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A first campaign was planned by the assumption, sent, answered, and drained."""
    shop = Shop(tmp_path_factory.mktemp("home"))
    write_moved_shop(shop.dataset)
    agreed = [
        Statement(
            one, "email", f"{one}@example.invalid", True, PUSH - timedelta(days=1), "shop", "UTC"
        )
        for one in MEMBERS
    ]
    (shop.home / "ledger.key").write_text("5e" * 32)  # hashes of people draw the arms
    (shop.home / "ledger.key").chmod(0o600)
    with shop.campaigns.open_ledger() as ledger:
        record(ledger, agreed, now=PUSH)
    shop.train(PUSH.replace(hour=0))
    plan, _ = plan_campaign(shop.campaigns, shop.campaign("first", PUSH))
    send_plan(shop.campaigns, plan.plan_id)
    pushed = dict.fromkeys(plan.rows.filter(decision="push")["member_id"], True)
    rng = np.random.default_rng(4)
    orders, redeemed = week_after(pushed, rng)
    (shop.dataset / "events").mkdir()
    write_orders(shop.dataset / "events" / "week.parquet", orders, rng)
    with shop.campaigns.open_ledger() as ledger:
        for member, at in redeemed:
            use = Use(f"{member}-{at.isoformat()}", "a", 100, at, member)
            redeem(ledger, use, limit=None, now=at)
        erase(ledger, GONE, now=AS_OF)
    shop.instant = SECOND
    return shop


@pytest.fixture(scope="module")
def drained(shop: Shop) -> dict[str, bytes]:
    return shop.drain()


@pytest.fixture(scope="module")
def model(shop: Shop, drained: dict[str, bytes]) -> Model:
    return shop.train(AS_OF)


@pytest.fixture(scope="module")
def plan(shop: Shop, model: Model) -> Plan:
    made, _ = plan_campaign(shop.campaigns, shop.campaign("second", SECOND))
    return made


def profit(members: list[str]) -> float:
    """What pushing these truly brings."""
    return sum(
        brought(one) * MARGIN * AMOUNT - PUSHED[one in REGULARS] * REDEEMED for one in members
    )


def test_the_drain_tells_the_same_twice_and_nothing_of_who_was_erased(
    shop: Shop, drained: dict[str, bytes]
) -> None:
    assert shop.drain() == drained
    for table in TABLES:
        members = set(Dataset(shop.dataset).read(table)["member_id"])
        assert len(members) > 250
        assert GONE not in members
    arms = Dataset(shop.dataset).read("arms")
    assert set(arms["arm"]) == {"treat", "holdout"}
    assert (arms["sent"] == (arms["arm"] == "treat")).all()
    assert set(arms["share"]) == {SHARE}


def test_what_holdouts_showed_is_in_the_model(shop: Shop, model: Model) -> None:
    assert model.measured is not None
    facts = model.manifest["effect"]
    assert facts["pushed"] + facts["held_out"] == model.measured.rows == len(MEMBERS) - 1


def test_who_is_driven_away_gets_no_coupon(plan: Plan) -> None:
    pushed = plan.rows.filter(pl.col("decision") == "push")["member_id"].to_list()
    regulars = sum(one in REGULARS for one in pushed)
    assert len(pushed) > 200
    assert regulars < 0.1 * len(pushed)


def test_the_plan_earns_more_than_one_by_the_assumption(
    shop: Shop, model: Model, plan: Plan
) -> None:
    blind = dataclasses.replace(
        shop.campaigns,
        offers=lambda campaign, coupons, at: ModelOffers(
            dataclasses.replace(model, measured=None), coupons, shop.settings.terms,
            at.timestamp() / 86_400,
        ),
    )  # fmt: skip
    other, _ = plan_campaign(blind, shop.campaign("third", SECOND + timedelta(days=1)))
    assert str(other.account.basis).startswith("assumed: 30%")
    assert other.account.assumed is not None
    earned, assumed = (
        profit(one.rows.filter(pl.col("decision") == "push")["member_id"].to_list())
        for one in (plan, other)
    )
    assert earned > 100
    assert earned > assumed + 100
    said = plan.rows.filter(pl.col("decision") == "push")["expected_value"].sum()
    assert said == pytest.approx(earned, rel=0.35)


def test_plan_page_why_and_service_say_the_same(shop: Shop, model: Model, plan: Plan) -> None:
    assert model.measured is not None
    basis = model.measured.basis
    assert basis.startswith("measured: 1,599 pushes drawn by lot")
    assert plan.account.basis == basis
    assert plan.account.assumed is None
    told = report(shop.campaigns, plan.plan_id)
    assert told.basis == basis
    assert [one.assumption for one in told.scenarios] == ["redemptions", "measured effect"]
    assert f"What a push brings is {basis}." in rendered(told)
    row = plan.rows.filter(pl.col("decision") == "push").row(0, named=True)
    why = explain_member(shop.campaigns, plan, row["member_id"])
    assert why["basis"] == basis
    assert why["best_coupons"][0]["value"] == pytest.approx(row["expected_value"], abs=1e-6)
    member = np.array([model.members.row(row["member_id"])], np.int32)
    served = worth(model, member, shop.settings.terms, now=SECOND.timestamp() / 86_400)
    assert served.basis == basis
    assert served.value.max() == pytest.approx(row["expected_value"], abs=1e-6)
    assert json.loads(json.dumps(dataclasses.asdict(told)))["basis"] == basis
