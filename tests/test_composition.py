"""What one package hands another through the composition."""

import shutil
from pathlib import Path

import httpx
import pytest

import composition
from campaigns.ledger.consent import Statement, record, standings
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
        Statement(one, "email", f"{one}@example.invalid", True, NOW, "shop") for one in (ANN, BOB)
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
