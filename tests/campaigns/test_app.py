"""The link in a message, followed as people, scanners and mail programs follow it."""

from email import message_from_bytes, policy
from urllib.parse import urlsplit

import httpx
import pytest
from fastapi import FastAPI

from campaigns.app import routes
from campaigns.run import plan_campaign, send_plan
from tests.campaigns.kit import Clock, composition, definition

pytestmark = pytest.mark.anyio


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shop(tmp_path, clock):
    return composition(tmp_path, clock)


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
async def client(shop):
    app = FastAPI()
    app.include_router(routes(shop))
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
        yield client


@pytest.fixture
def link(shop):
    """The path of the one-click link in the first message sent."""
    plan, _ = plan_campaign(shop, definition())
    send_plan(shop, plan.plan_id)
    file = min((shop.folder / "outbox").glob("*.eml"))
    mail = message_from_bytes(file.read_bytes(), policy=policy.default)
    return urlsplit(mail["List-Unsubscribe"].strip("<>")).path


def suppressions(shop):
    with shop.open_ledger() as ledger, ledger.reading() as connection:
        rows = connection.exec_driver_sql("SELECT reason FROM suppression")
        return [reason for (reason,) in rows]


async def test_opening_the_link_asks_and_changes_nothing(client, link, shop):
    answer = await client.get(link)
    assert answer.status_code == 200
    assert '<form method="post">' in answer.text
    assert suppressions(shop) == []


async def test_one_click_suppresses_the_person_and_the_address(client, link, shop):
    answer = await client.post(link, data={"List-Unsubscribe": "One-Click"})
    assert answer.status_code == 200
    assert suppressions(shop) == ["unsubscribed", "unsubscribed"]


async def test_the_same_click_again_says_the_same(client, link, shop):
    first, second = await client.post(link), await client.post(link)
    assert (first.status_code, first.text) == (second.status_code, second.text)
    assert len(suppressions(shop)) == 2


async def test_who_left_is_not_written_to_again(client, link, shop, clock):
    await client.post(link)
    clock.turn(days=8)
    later = definition(starts_at=clock(), ends_at=clock.instant.replace(month=12, day=20))
    plan, _ = plan_campaign(shop, later)
    assert plan.rows.filter(decision="suppressed").height == 1


@pytest.mark.parametrize("spoil", [lambda link: link[:-1], lambda link: link + "0", str.swapcase])
async def test_a_link_that_is_not_whole_is_refused(client, link, shop, spoil):
    broken = "/u/" + spoil(link.removeprefix("/u/"))
    assert (await client.post(broken)).status_code == 404
    assert "none of ours" in (await client.get(broken)).json()["detail"]
    assert suppressions(shop) == []


async def test_a_token_of_ours_for_what_was_never_sent_is_refused(client, shop):
    with shop.open_ledger() as ledger:
        token = ledger.identity.token("preview")
    assert (await client.post(f"/u/{token}")).status_code == 404


async def test_without_a_ledger_no_link_is_ours_and_none_is_made(client, shop):
    (shop.folder / "ledger.db").unlink()
    assert (await client.get("/u/abc.def")).status_code == 404
    assert not (shop.folder / "ledger.db").exists()


async def test_a_ledger_that_cannot_be_used_asks_for_patience(client, link, shop):
    (shop.folder / "ledger.key").chmod(0o644)
    answer = await client.post(link)
    assert answer.status_code == 503
    assert "later" in answer.json()["detail"]
