"""Scanners and browsers open every link of a message before its reader does."""

import re
from dataclasses import replace
from email import message_from_bytes, policy

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import MetaData, select

from campaigns.app import routes
from campaigns.consent import import_consent
from campaigns.run import plan_campaign, send_plan
from campaigns.settings import CampaignSettings
from tests.campaigns.kit import MEMBERS, Clock, composition, definition, write_consent

pytestmark = pytest.mark.anyio
SHOP = "https://shop.example/p/{product_id}"
OURS = "http://127.0.0.1:8000/"
WAYS = [
    ("GET", {}),
    ("HEAD", {}),
    ("GET", {"Sec-Purpose": "prefetch"}),
    ("GET", {"Purpose": "prefetch", "X-Moz": "prefetch"}),
    ("GET", {"User-Agent": "Mozilla/5.0 (compatible; BarracudaCentral)"}),
    ("OPTIONS", {"Origin": "https://shop.example"}),
]


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shop(tmp_path, clock, ledger_url):
    """On either database; its messages were sent, with links to products."""
    settings = CampaignSettings(ledger_url=ledger_url, shop_url=SHOP)
    made = replace(composition(tmp_path, clock), settings=settings)
    with made.open_ledger() as ledger:
        import_consent(write_consent(tmp_path / "consent.csv"), ledger, now=clock())
    plan = plan_campaign(made, definition(utm={"source": "guesslike"}))[0]
    assert send_plan(made, plan.plan_id).outcomes["accepted"] == len(MEMBERS)
    return made


def links(folder):
    """Every address in every part and header of every message."""
    found = set()
    for file in folder.glob("*.eml"):
        mail = message_from_bytes(file.read_bytes(), policy=policy.default)
        bodies = [mail.get_body((kind,)).get_content() for kind in ("plain", "html")]
        said = "\n".join([*bodies, *(str(value) for value in mail.values())])
        found |= set(re.findall(r"https?://[^\s\"<>]+", said.replace("&amp;", "&")))
    return found


def dump(shop):
    """All rows of all tables, the gate's clock too."""
    with shop.open_ledger() as ledger, ledger.reading() as connection:
        tables = MetaData()
        tables.reflect(connection)
        return {
            table.name: sorted(map(repr, connection.execute(select(table))))
            for table in tables.sorted_tables
        }


async def test_opening_every_link_of_every_message_changes_nothing(shop, clock):
    found = links(shop.folder / "outbox")
    own = sorted(link for link in found if link.startswith(OURS))
    assert len(own) == len(MEMBERS)
    assert {link.partition("?")[0] for link in found - set(own)} == {
        f"https://shop.example/p/{product}" for product in ("tea", "milk", "bread")
    }
    app = FastAPI()
    app.include_router(routes(shop))
    before = dump(shop)
    assert before["send"]
    clock.turn(hours=1)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=OURS) as client:
        for link in own:
            for method, headers in WAYS:
                answer = await client.request(method, link, headers=headers)
                assert answer.status_code in (200, 405), (method, answer.text)
        assert dump(shop) == before
        # and the reader's own answer does act
        assert (await client.post(own[0])).status_code == 200
        after = dump(shop)
        assert len(after["suppression"]) == 2
        assert (await client.post(own[0])).status_code == 200
    assert dump(shop) == after
    assert {name for name in after if after[name] != before[name]} == {"suppression"}
