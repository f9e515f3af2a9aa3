"""What serving asks for, from a ledger that stays open."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from campaigns.held import Holdings
from campaigns.ledger.holdings import Holding
from campaigns.run import plan_campaign, send_plan
from recsys.errors import LedgerError
from tests.campaigns.kit import MEMBERS, Clock, composition, definition


@pytest.fixture
def shop(tmp_path):
    return composition(tmp_path, Clock())


@pytest.fixture
def held(shop):
    asked = Holdings(shop)
    yield asked
    asked.close()


def test_what_was_sent_meanwhile_is_told(shop, held):
    assert held.of("m2") == Holding()
    plan, _ = plan_campaign(shop, definition())
    send_plan(shop, plan.plan_id)
    assert held.of("m2").sent == {"c1": None}
    with ThreadPoolExecutor(8) as threads:
        told = list(threads.map(held.of, MEMBERS * 4))
    assert [len(one.sent) for one in told] == ([1] * 7 + [0]) * 4


def test_asking_waits_for_no_writer(shop, held):
    held.of("m2")
    with shop.open_ledger() as ledger, ledger.writing() as connection:
        connection.execute(text("UPDATE gate SET hi = hi"))
        assert held.of("m2") == Holding()


def test_without_a_ledger_none_is_made_and_a_broken_one_is_opened_anew(shop, held):
    ledger, aside = shop.folder / "ledger.db", shop.folder / "aside.db"
    ledger.rename(aside)
    assert held.of("m2") == Holding()
    assert not ledger.exists()
    key = shop.folder / "ledger.key"
    aside.rename(ledger)
    key.chmod(0o644)
    with pytest.raises(LedgerError, match="chmod 600"):
        held.of("m2")
    key.chmod(0o600)
    assert held.of("m2") == Holding()
