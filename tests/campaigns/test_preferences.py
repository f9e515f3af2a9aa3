"""Preferences over HTTP, on both databases."""

from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI

from campaigns.app import routes
from campaigns.consent import import_consent
from campaigns.run import plan_campaign, send_plan
from campaigns.settings import CampaignSettings
from campaigns.verify import verify
from tests.campaigns.kit import MEMBERS, Clock, composition, definition, write_consent

pytestmark = pytest.mark.anyio
ANN = MEMBERS[0]
UNSAID = {"push": False, "stopped": False, "language": None}
NOTHING = {"channels": {"email": UNSAID, "sms": UNSAID, "push": UNSAID}}


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shop(tmp_path, clock, ledger_url):
    """All but the last member agreed, in English."""
    made = replace(composition(tmp_path, clock), settings=CampaignSettings(ledger_url=ledger_url))
    with made.open_ledger() as ledger:
        consent = write_consent(tmp_path / "consent.csv", MEMBERS[:-1])
        import_consent(consent, ledger, now=clock())
    return made


@pytest.fixture
async def client(shop):
    app = FastAPI()
    app.include_router(routes(shop))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        yield client


def address(member):
    return f"/v1/members/{member}/preferences"


async def say(client, member, **change):
    answer = await client.put(address(member), json={"channels": {"email": change}})
    assert answer.status_code == 200, answer.text
    return answer.json()["channels"]["email"]


async def test_what_was_said_is_read_again_and_is_that_members_alone(client):
    others = (await client.get(address(MEMBERS[1]))).json()
    assert others["channels"]["email"] == {"push": True, "stopped": False, "language": "en"}
    assert await say(client, ANN, push=False) == {
        "push": False, "stopped": False, "language": "en",
    }  # fmt: skip
    assert await say(client, ANN, language="de") == {
        "push": False, "stopped": False, "language": "de",
    }  # fmt: skip
    assert (await say(client, ANN, push=True))["push"] is True
    assert (await client.get(address(ANN))).json()["channels"]["email"]["language"] == "de"
    assert (await client.get(address(MEMBERS[1]))).json() == others


async def test_an_id_may_hold_a_slash(client):
    assert (await say(client, "a%2Fb", push=True))["push"]
    assert (await client.get(address("a/b"))).json()["channels"]["email"]["push"]
    assert (await client.get(address("a"))).json() == NOTHING


async def test_an_unknown_member_looks_like_a_known_one_who_never_said_anything(client):
    known, unknown = [await client.get(address(one)) for one in (MEMBERS[-1], "nobody")]
    assert known.json() == unknown.json() == NOTHING
    changed = [await say(client, one, push=True, language="de") for one in (MEMBERS[-1], "x")]
    assert changed[0] == changed[1] == {"push": True, "stopped": False, "language": None}


async def test_who_said_no_between_plan_and_send_gets_nothing(client, shop, clock):
    plan, _ = plan_campaign(shop, definition())
    pushed = plan.rows.filter(decision="push")["member_id"].to_list()
    assert ANN in pushed
    await say(client, ANN, push=False)
    report = send_plan(shop, plan.plan_id)
    assert report.outcomes == {"accepted": len(pushed) - 1, "skipped: no_consent": 1 + 1}
    mails = [path.read_text() for path in (shop.folder / "outbox").glob("*.eml")]
    assert not any(f"{ANN}@example.invalid" in mail for mail in mails)
    with shop.open_ledger() as ledger:
        assert not verify(ledger).breaches


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"channels": {}},
        {"channels": {"email": {}}},
        {"channels": {"pigeon": {"push": False}}},
        {"channels": {"email": {"push": "perhaps"}}},
        {"channels": {"email": {"push": True, "stopped": False}}},
        {"channels": {"email": {"language": "d"}}},
        {"channels": {"email": {"language": "de\n"}}},
        {"channels": {"email": {"push": False}}, "member_id": MEMBERS[1]},
    ],
)
async def test_what_cannot_be_understood_is_refused_and_changes_nothing(client, body):
    before = (await client.get(address(ANN))).json()
    assert (await client.put(address(ANN), json=body)).status_code == 422
    assert (await client.get(address(ANN))).json() == before


async def test_without_a_ledger_a_question_makes_none_and_a_no_is_kept(tmp_path, clock):
    shop = composition(tmp_path, clock)
    (tmp_path / "ledger.db").unlink()
    app = FastAPI()
    app.include_router(routes(shop))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        assert (await client.get(address(ANN))).json() == NOTHING
        assert not (tmp_path / "ledger.db").exists()
        await say(client, ANN, push=False)
    with shop.open_ledger() as ledger:
        import_consent(write_consent(tmp_path / "late.csv"), ledger, now=clock())
    plan, _ = plan_campaign(shop, definition())
    assert plan.rows.filter(member_id=ANN)["decision"].to_list() == ["no_consent"]


async def test_a_ledger_that_cannot_be_used_says_so(client, shop):
    (shop.folder / "ledger.key").chmod(0o644)
    for answer in (
        await client.get(address(ANN)),
        await client.put(address(ANN), json={"channels": {"email": {"push": False}}}),
    ):
        assert answer.status_code == 503
        assert "again" in answer.json()["detail"]
