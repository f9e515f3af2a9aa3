"""Coupons for members of some tiers: planned for those alone, and redeemed by them alone."""

from dataclasses import replace
from datetime import timedelta

import httpx
import polars as pl
import pytest
from fastapi import FastAPI

from campaigns.app import routes
from campaigns.consent import import_consent
from campaigns.ledger.codes import add_codes, all_codes
from campaigns.ledger.erasing import erase
from campaigns.run import plan_campaign, send_plan
from campaigns.settings import CampaignSettings
from campaigns.tiers import tier_of
from recsys.errors import CampaignError
from tests.campaigns.kit import MEMBERS, NOW, Clock, composition, definition, write_consent

pytestmark = pytest.mark.anyio
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
ANN, BOB, CEM = MEMBERS[:3]
TIERS = [
    (ANN, "silver", None),
    (ANN, "gold", NOW - DAY),
    (ANN, None, NOW),  # says nothing of the tier
    (ANN, "silver", NOW + DAY),
    (BOB, "gold", NOW - 2 * DAY),
    (BOB, "silver", NOW - HOUR),
    (CEM, None, None),
    *((member, "silver", None) for member in MEMBERS[3:]),
]


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shop(tmp_path, clock, ledger_url):
    made = replace(composition(tmp_path, clock), settings=CampaignSettings(ledger_url=ledger_url))
    with made.open_ledger() as ledger:
        consent = write_consent(tmp_path / "consent.csv", MEMBERS[:-1])
        import_consent(consent, ledger, now=clock())
    for_tiers(made, ["gold"])
    columns = {"member_id": pl.String, "tier": pl.String, "valid_from": pl.Datetime("us", "UTC")}
    pl.DataFrame(TIERS, columns, orient="row").write_parquet(
        tmp_path / "dataset" / "members.parquet"
    )
    return made


def for_tiers(shop, tiers):
    file = shop.folder / "dataset" / "coupons.parquet"
    first = pl.col("coupon_id") == "c1"
    listed = pl.when(first).then(pl.lit(tiers, pl.List(pl.String))).alias("tiers")
    pl.read_parquet(file).with_columns(listed).write_parquet(file)


@pytest.fixture
async def client(shop):
    app = FastAPI()
    app.include_router(routes(shop))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        yield client


async def reason(client, order="o1", **body):
    body = {"order_id": order, "discount": 1, "coupon_id": "c1", **body}
    answer = await client.post("/v1/redemptions", json=body)
    assert answer.status_code == (409 if "reason" in answer.json() else 200), answer.text
    return answer.json().get("reason")


def test_a_tier_is_what_the_latest_row_says_that_names_one(shop):
    dataset = shop.dataset()
    for member, at, tier in (
        (ANN, NOW - 2 * DAY, "silver"),
        (ANN, NOW, "gold"),
        (ANN, NOW + DAY, "silver"),
        (BOB, NOW - 3 * DAY, None),
        (BOB, NOW - DAY, "gold"),
        (BOB, NOW, "silver"),
        (CEM, NOW, None),
        ("nobody", NOW, None),
    ):
        assert tier_of(dataset, member, at=at) == tier, (member, at)


async def test_a_coupon_is_redeemed_by_members_of_its_tiers_alone(client, clock):
    assert await reason(client, member_id=ANN) is None
    for member in (BOB, CEM, "nobody"):
        assert await reason(client, order="o2", member_id=member) == "wrong_tier"
    assert await reason(client, order="o3", member_id=BOB, coupon_id="c2") is None
    clock.turn(days=2)  # Ann is of another tier by now, and her order is what it was
    assert await reason(client, member_id=ANN) is None
    then = (NOW - DAY).isoformat()
    assert await reason(client, order="o4", member_id=BOB, redeemed_at=then) is None


async def test_of_a_code_the_tier_is_that_of_the_member_it_was_sent_to(client, shop):
    with shop.open_ledger() as ledger:
        add_codes(ledger, {f"CODE-{number}": "c1" for number in range(20)}, now=NOW)
    plan, _ = plan_campaign(shop, definition())  # its offers do not look at tiers
    send_plan(shop, plan.plan_id)
    with shop.open_ledger() as ledger:
        codes = {one.member_id: one.code for one in all_codes(ledger) if one.state == "sent"}
        free = next(one.code for one in all_codes(ledger) if one.state == "free")
    assert await reason(client, code=codes[ANN], member_id=BOB) == "code_of_another"
    assert await reason(client, code=codes[ANN]) is None
    assert await reason(client, order="o2", code=codes[CEM]) == "wrong_tier"
    assert await reason(client, order="o2", code=codes[CEM], member_id=ANN) == "wrong_tier"
    assert await reason(client, order="o2", code=free) == "code_not_sent"
    with shop.open_ledger() as ledger:
        erase(ledger, ANN, now=NOW)
    await client.delete("/v1/redemptions/o1")
    assert await reason(client, order="o2", code=codes[ANN]) == "wrong_tier"


@pytest.mark.parametrize(
    ("tiers", "said"),
    [
        (["gold", "sliver"], "coupon 'c1' is for the tier 'sliver', which no member has; did you "
                             "mean 'silver'"),
        (["platinum"], "tier 'platinum', which no member has; members have gold, silver"),
    ],
)  # fmt: skip
def test_a_coupon_for_a_tier_that_nobody_has_is_named(shop, tiers, said):
    for_tiers(shop, tiers)
    with pytest.raises(CampaignError, match=said):
        plan_campaign(shop, definition())
    assert not shop.plans.exists()


def test_a_coupon_for_a_tier_where_nobody_has_any_is_named(shop):
    file = shop.folder / "dataset" / "members.parquet"
    pl.read_parquet(file).drop("tier").write_parquet(file)
    with pytest.raises(CampaignError, match=r"tier 'gold', .* the table members names no tiers"):
        plan_campaign(shop, definition())


@pytest.mark.parametrize("audience", ['tier = "glod"', 'orders > 0 and tier in ["silver", "glod"]'])
def test_an_audience_of_a_tier_that_nobody_has_is_named(shop, audience):
    said = "The audience of '24' asks for the tier 'glod', which no member has; did you mean 'gold'"
    with pytest.raises(CampaignError, match=said):
        plan_campaign(shop, definition(audience=audience))


def test_an_audience_may_ask_for_parts_of_a_tier(shop):
    plan, _ = plan_campaign(shop, definition(audience='tier startswith "go" or tier is null'))
    assert plan.rows["member_id"].to_list() == [ANN, CEM]
