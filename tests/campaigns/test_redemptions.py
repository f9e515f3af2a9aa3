"""What a checkout reports over HTTP, on both databases."""

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import httpx
import polars as pl
import pytest
from fastapi import FastAPI

from campaigns.app import routes
from campaigns.consent import import_consent
from campaigns.expired import release_expired
from campaigns.ledger.codes import add_codes, all_codes
from campaigns.ledger.expiring import release, reserved_coupons
from campaigns.ledger.plans import left
from campaigns.redemptions import WORDS
from campaigns.run import plan_campaign, send_plan
from campaigns.settings import CampaignSettings
from campaigns.verify import verify
from tests.campaigns.kit import MEMBERS, NOW, WEEK, Clock, composition, definition, write_consent

pytestmark = pytest.mark.anyio
ANN, BOB = MEMBERS[0], MEMBERS[1]
COUPONS = {
    "coupon_id": ["c1", "c2", "percent", "amount", "old", "soon", "from20", "two", "in24", "to2"],
    "kind": [None, None, "percent", "amount", *[None] * 5, "percent"],
    "value": [None, None, 10.0, 2.5, *[None] * 5, 10.0],
    "max_discount": [None] * 9 + [2.0],
    "min_spend": [None] * 6 + [20.0, None, None, None],
    "valid_from": [None] * 5 + [NOW + timedelta(days=1), *[None] * 4],
    "valid_until": [None] * 4 + [NOW, *[None] * 5],
    "max_redemptions": [None] * 7 + [2, None, None],
    "max_issues": [None] * 8 + [0, None],
}


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
    time = pl.Datetime("us", "UTC")
    folder = tmp_path / "dataset"
    pl.DataFrame(COUPONS, schema_overrides={"valid_from": time, "valid_until": time}).write_parquet(
        folder / "coupons.parquet"
    )
    pl.DataFrame(
        {"campaign_id": ["over"], "starts_at": [NOW - 2 * WEEK], "ends_at": [NOW - WEEK]}
    ).write_parquet(folder / "campaigns.parquet")
    pl.DataFrame(
        {"campaign_id": ["24", "24", "over"], "coupon_id": ["c1", "c2", "in24"]}
    ).write_parquet(folder / "campaign_coupons.parquet")
    return made


@pytest.fixture
async def client(shop):
    app = FastAPI()
    app.include_router(routes(shop))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        yield client


async def post(client, order="o1", **body):
    return await client.post("/v1/redemptions", json={"order_id": order, "discount": 1, **body})


async def refused(client, **body):
    answer = await post(client, **body)
    assert answer.status_code == 409, answer.text
    assert answer.json()["detail"] == WORDS[answer.json()["reason"]]
    return answer.json()["reason"]


def sent(shop, **changes):
    """Plans and sends the campaign; the members' codes."""
    with shop.open_ledger() as ledger:
        add_codes(ledger, {f"CODE-{number}": "c1" for number in range(20)}, now=NOW)
    plan, _ = plan_campaign(shop, definition(**changes))
    send_plan(shop, plan.plan_id)
    with shop.open_ledger() as ledger:
        return {one.member_id: one.code for one in all_codes(ledger) if one.state == "sent"}


def sent_within(shop, discount_budget):
    """Likewise, with codes for both of the campaign's coupons."""
    with shop.open_ledger() as ledger:
        add_codes(ledger, {f"OTHER-{number}": "c2" for number in range(20)}, now=NOW)
    return sent(shop, discount_budget=discount_budget)


async def test_a_code_is_used_shown_again_undone_and_used_again(client, shop):
    code = sent(shop)[ANN]
    body = {"code": code, "discount": 1.25, "member_id": ANN, "order_total": 9.99}
    first = (await post(client, **body)).json()
    assert first == {
        "order_id": "o1", "coupon_id": "c1", "campaign_id": "24", "code": code, "discount": 1.25,
        "redeemed_at": "2017-12-01T09:00:00Z", "new": True,
    }  # fmt: skip
    assert (await post(client, **body)).json() == first | {"new": False}
    assert await refused(client, order="o2", code=code) == "already_used"
    undone = (await client.delete("/v1/redemptions/o1")).json()
    assert undone == {"order_id": "o1", "undone": [first]}
    assert (await client.delete("/v1/redemptions/o1")).json()["undone"] == []
    assert await refused(client, **body) == "order_reversed"
    assert (await post(client, order="o2", code=code)).status_code == 200
    with shop.open_ledger() as ledger:
        assert verify(ledger).breaches == ()


async def test_a_repeated_report_is_answered_whatever_the_coupon_says_by_now(client, clock):
    body = {"coupon_id": "c1", "member_id": ANN}
    first = (await post(client, **body)).json()
    clock.turn(days=400)
    assert (await post(client, **body)).json() == first | {"new": False}


async def test_codes_are_for_their_member_and_their_coupon(client, shop):
    codes = sent(shop)
    assert await refused(client, code=codes[ANN], member_id="m2") == "code_of_another"
    assert await refused(client, code=codes[ANN], coupon_id="c2") == "wrong_coupon"
    assert await refused(client, code="CODE-19") == "code_not_sent"
    assert await refused(client, code="nonsense") == "unknown_code"
    assert await refused(client, coupon_id="c1", member_id=ANN) == "code_needed"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"coupon_id": "none such"}, "unknown_coupon"),
        ({"coupon_id": "old"}, "not_valid_now"),
        ({"coupon_id": "soon"}, "not_valid_now"),
        ({"coupon_id": "in24"}, "not_valid_now"),
        ({"coupon_id": "from20"}, "min_spend"),
        ({"coupon_id": "from20", "order_total": 19.99}, "min_spend"),
        ({"coupon_id": "amount", "discount": 2.51}, "discount_too_high"),
        ({"coupon_id": "percent", "discount": 1.02, "order_total": 10.1}, "discount_too_high"),
        ({"coupon_id": "to2", "discount": 2.01, "order_total": 100}, "discount_too_high"),
        ({"coupon_id": "to2", "discount": 2.01}, "discount_too_high"),
        ({"coupon_id": "to2", "discount": 2, "order_total": 100}, None),
        ({"coupon_id": "from20", "order_total": 20}, None),
        ({"coupon_id": "amount", "discount": 2.5}, None),
        ({"coupon_id": "percent", "discount": 1.01, "order_total": 10.1}, None),
        ({"coupon_id": "percent", "discount": 99}, None),
        ({"coupon_id": "old", "redeemed_at": (NOW - timedelta(hours=1)).isoformat()}, None),
        ({"coupon_id": "in24", "redeemed_at": (NOW - 1.5 * WEEK).isoformat()}, "issue_limit"),
    ],
)
async def test_the_coupons_own_terms_hold(client, body, reason):
    answer = await post(client, member_id=ANN, **body)
    assert answer.json().get("reason") == reason
    assert answer.status_code == (200 if reason is None else 409)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "code is needed"),
        ({"coupon_id": "c1"}, "code is needed"),
        ({"code": ""}, "code"),
        ({"code": "x\ny"}, "code"),
        ({"code": "CODE-1", "discount": -1}, "discount"),
        ({"code": "CODE-1", "discount": "1"}, "discount"),
        ({"code": "CODE-1", "discount": 1e13}, "discount"),
        ({"code": "CODE-1", "redeemed_at": "2017-12-01T09:00:00"}, "redeemed_at"),
        ({"code": "CODE-1", "redeemed_at": "2017-12-01T10:00:00Z"}, "redeemed_at"),
        ({"code": "CODE-1", "coupon": "c1"}, "coupon"),
        ({"code": "CODE-1", "order_id": " "}, "order_id"),
    ],
)
async def test_what_cannot_be_understood_is_named(client, body, field):
    answer = await client.post("/v1/redemptions", json={"order_id": "o", "discount": 1, **body})
    assert answer.status_code == 422
    assert field in answer.text


async def test_an_unknown_order_is_none_of_ours_and_ids_may_hold_a_slash(client):
    answer = await client.delete("/v1/redemptions/o9")
    assert (answer.status_code, answer.json()["detail"]) == (
        404, "no redemption with this order was recorded",
    )  # fmt: skip
    await post(client, order="a/b", coupon_id="c2", member_id=ANN)
    assert len((await client.delete("/v1/redemptions/a/b")).json()["undone"]) == 1


async def test_one_order_uses_several_coupons_and_returns_them_together(client):
    for coupon in ("c1", "c2"):
        await post(client, coupon_id=coupon, member_id=ANN)
    undone = (await client.delete("/v1/redemptions/o1")).json()["undone"]
    assert [one["coupon_id"] for one in undone] == ["c1", "c2"]


async def test_a_budget_of_discounts_is_reserved_when_coupons_are_sent(client, shop):
    codes = sent_within(shop, 2.0)
    # Each may take off 1.00, as far as anybody knows: two are sent, and no more.
    assert len(codes) == 2
    first, second = ({"order": f"o{n}", "code": code} for n, code in enumerate(codes.values()))
    assert await refused(client, **first, discount=1.01) == "discount_budget"
    assert (await post(client, **first, discount=0.5)).status_code == 200
    assert await refused(client, **second, discount=1.51) == "discount_budget"
    assert (await post(client, **second, discount=1.5)).status_code == 200
    with shop.open_ledger() as ledger:
        assert left(ledger, {"discount:24": 200}) == {"discount:24": 0}
        assert verify(ledger).breaches == ()


async def test_an_order_that_is_undone_reserves_its_discount_again(client, shop):
    first, second = sent_within(shop, 2.0).values()
    await post(client, order="o1", code=first, discount=0.6)
    await client.delete("/v1/redemptions/o1")
    assert await refused(client, order="o2", code=second, discount=1.41) == "discount_budget"
    assert (await post(client, order="o3", code=second, discount=1.4)).status_code == 200
    assert (await post(client, order="o4", code=first, discount=0.6)).status_code == 200
    with shop.open_ledger() as ledger:
        assert verify(ledger).breaches == ()


async def test_what_was_reserved_for_a_coupon_that_is_over_is_free_again(client, shop):
    first, _ = sent_within(shop, 2.0).values()
    await post(client, order="o1", code=first, discount=0.6)
    with shop.open_ledger() as ledger:
        coupons = reserved_coupons(ledger)
        assert coupons <= {"c1", "c2"}
        assert release(ledger, coupons) == 100
        assert release(ledger, coupons) == 0
        assert left(ledger, {"discount:24": 200}) == {"discount:24": 140}
        assert verify(ledger).breaches == ()
    await client.delete("/v1/redemptions/o1")
    with shop.open_ledger() as ledger:
        assert release(ledger, reserved_coupons(ledger)) == 60
        assert verify(ledger).breaches == ()


@pytest.mark.parametrize(("days", "free"), [(1, 0), (3, 200)])
def test_a_coupon_that_ended_days_ago_holds_no_money(shop, days, free):
    sent_within(shop, 2.0)
    ended = COUPONS | {"valid_until": [NOW + timedelta(hours=8)] * 2 + COUPONS["valid_until"][2:]}
    time = pl.Datetime("us", "UTC")
    pl.DataFrame(ended, schema_overrides={"valid_from": time, "valid_until": time}).write_parquet(
        shop.folder / "dataset" / "coupons.parquet"
    )
    with shop.open_ledger() as ledger:
        assert release_expired(ledger, shop.dataset(), now=NOW + timedelta(days=days)) == free
        assert left(ledger, {"discount:24": 200}) == {"discount:24": free}


@pytest.mark.slow
async def test_of_50_at_once_as_many_are_answered_with_yes_as_the_limit_says(client, shop):
    asked = [
        post(client, order=f"o{n}", coupon_id="two", member_id=f"m{n}") for n in range(50)
    ]  # fmt: skip
    answers = await asyncio.gather(*asked)
    assert Counter(one.status_code for one in answers) == {200: 2, 409: 48}
    assert {one.json().get("reason") for one in answers} == {None, "redemption_limit"}
    with shop.open_ledger() as ledger:
        assert verify(ledger).breaches == ()


async def test_a_ledger_that_cannot_be_used_says_so(client, shop):
    (shop.folder / "ledger.key").chmod(0o644)
    for answer in (
        await post(client, coupon_id="c1", member_id=ANN),
        await client.delete("/v1/redemptions/o1"),
    ):
        assert answer.status_code == 503
        assert "again" in answer.json()["detail"]
