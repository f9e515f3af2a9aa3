"""What one package hands another through the composition."""

import shutil
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

import composition
from campaigns.definition import Campaign
from campaigns.ledger.codes import add_codes
from campaigns.ledger.consent import Statement, record, standings
from campaigns.run import plan_campaign, send_plan
from campaigns.settings import CampaignSettings
from campaigns.verify import verify
from serving.doors import keys
from tests.serving.live import NOW
from tests.small_shop import MEMBERS

pytestmark = pytest.mark.anyio
ANN, BOB = MEMBERS[:2]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_an_erasure_reaches_the_ledger(small_model: Path, tmp_path: Path) -> None:
    shutil.copytree(small_model / "models", tmp_path / "models")
    settings = composition.Settings(home=tmp_path)
    campaigns = composition.campaign_composition(settings, lambda: NOW, name="simulated")
    agreed = [
        Statement(one, "email", f"{one}@example.invalid", True, NOW, "shop", "UTC")
        for one in (ANN, BOB)
    ]
    with campaigns.open_ledger() as ledger:
        record(ledger, agreed, now=NOW)
    app = composition.serving_composition(settings).app(lambda: NOW, simulated=True)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://shop") as client,
    ):
        assert (await client.delete(f"/v1/members/{ANN}")).status_code == 200
    with campaigns.open_ledger() as ledger:
        reached = standings(ledger, "email")
        assert set(reached) == {ledger.identity.person(BOB)}


async def test_a_coupon_is_planned_sent_shown_redeemed_and_given_back(
    small_model: Path, tmp_path: Path
) -> None:
    """With its code, through the real service, behind its doors."""
    shutil.copytree(small_model / "models", tmp_path / "models")
    shutil.copytree(small_model / "dataset", tmp_path / "dataset")
    _, secret = keys.add(tmp_path, "server", name="checkout", now=NOW)
    _, public = keys.add(tmp_path, "publishable", name="page", now=NOW)
    settings = composition.Settings(
        home=tmp_path, campaigns=CampaignSettings(margin_rate=0.9, incremental_share=1.0)
    )
    shop = composition.campaign_composition(settings, lambda: NOW, name="simulated")
    agreed = [
        Statement(one, "email", f"{one}@example.invalid", True, NOW, "shop", "UTC")
        for one in MEMBERS
    ]
    with shop.open_ledger() as ledger:
        record(ledger, agreed, now=NOW)
        add_codes(ledger, {f"CODE-{number:03d}": "c1" for number in range(300)}, now=NOW)
    # Two may be sent: each could take off 1.0.
    campaign = Campaign(
        campaign="spring", title="For you", starts_at=NOW, ends_at=NOW + timedelta(days=5),
        coupons=["c1"], budget=1_000, discount_budget=2.0, holdout=0,
    )  # fmt: skip
    plan, _ = plan_campaign(shop, campaign)
    send_plan(shop, plan.plan_id)
    pushed = plan.rows.filter(decision="push")["member_id"].to_list()
    ann, bob = pushed
    app = composition.serving_composition(settings).app(lambda: NOW, simulated=True)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(
            transport=httpx.ASGITransport(app), base_url="http://shop",
            headers={"Authorization": f"Bearer {secret}"},
        ) as checkout,
    ):  # fmt: skip

        async def code_of(member: str) -> str | None:
            """The code of c1 as the member's own browser sees it; None where it is not there."""
            made = await checkout.post("/v1/tokens", json={"member_id": member})
            answer = await checkout.get(
                "/v1/coupons", params={"limit": 50},
                headers={"Authorization": f"Bearer {made.json()['token']}"},
            )  # fmt: skip
            codes: dict[str, str] = {
                item["coupon_id"]: item["code"] for item in answer.json()["items"]
            }
            return codes.get("c1")

        async def redeem(order: str, code: str | None, discount: float) -> httpx.Response:
            body = {"order_id": order, "code": code, "discount": discount}
            return await checkout.post("/v1/redemptions", json=body)

        code = await code_of(ann)
        assert code is not None
        assert await code_of(bob) not in (None, code)
        for outside in ({"Authorization": f"Bearer {public}"}, {"Authorization": "Bearer x"}):
            body = {"order_id": "o1", "code": code, "discount": 1}
            tried = await checkout.post("/v1/redemptions", json=body, headers=outside)
            undone = await checkout.delete("/v1/redemptions/o1", headers=outside)
            assert {tried.status_code, undone.status_code} <= {401, 403}
        assert (await redeem("o1", code, 1.0)).json()["campaign_id"] == "spring"
        assert await code_of(ann) is None
        assert (await checkout.delete("/v1/redemptions/o1")).status_code == 200
        assert await code_of(ann) == code
        assert (await redeem("o2", await code_of(bob), 1.0)).status_code == 200
    with shop.open_ledger() as ledger:
        assert verify(ledger).breaches == ()
