"""An erased member, on both databases: nothing names them, nothing is sent, nothing is reopened."""

from dataclasses import replace

import pytest
from sqlalchemy import text

from campaigns.consent import import_consent
from campaigns.erasing import forget_member
from campaigns.ledger.consent import suppress
from campaigns.run import plan_campaign, send_plan
from campaigns.settings import CampaignSettings
from campaigns.verify import verify
from tests.campaigns.kit import MEMBERS, Clock, composition, definition, write_consent

ANN, BOB = MEMBERS[:2]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shop(tmp_path, clock, ledger_url):
    """All but the last member agreed."""
    made = replace(composition(tmp_path, clock), settings=CampaignSettings(ledger_url=ledger_url))
    with made.open_ledger() as ledger:
        import_consent(write_consent(tmp_path / "agreed.csv", MEMBERS[:-1]), ledger, now=clock())
    return made


def everything(shop):
    """All text that the ledger holds."""
    with shop.open_ledger() as ledger, ledger.reading() as connection:
        tables = ("contact_point", "consent", "suppression", "send", "outcome", "assignment")
        rows = [row for one in tables for row in connection.execute(text(f"SELECT * FROM {one}"))]
    return " ".join(str(value) for row in rows for value in row)


def test_what_a_live_plan_still_has_for_an_erased_member_is_not_sent(shop, clock):
    plan, _ = plan_campaign(shop, definition())
    forget_member(shop, ANN)
    report = send_plan(shop, plan.plan_id)
    assert report.outcomes == {"accepted": len(MEMBERS) - 2, "skipped: no_consent": 2}
    with shop.open_ledger() as ledger:
        assert not verify(ledger).breaches


def test_nothing_names_the_member_and_erasing_again_changes_nothing(shop, clock):
    assert f"{ANN}@example" in everything(shop)
    forget_member(shop, ANN)
    once = everything(shop)
    assert f"{ANN}@example" not in once
    assert ANN not in once.split()
    assert f"{BOB}@example" in once
    clock.turn(days=1)
    forget_member(shop, ANN)
    assert everything(shop) == once


def test_an_old_list_brings_nothing_back_and_a_refusal_outlives_the_erasure(shop, clock, tmp_path):
    with shop.open_ledger() as ledger:
        suppress(ledger, [ledger.identity.person(ANN)], reason="unsubscribed", now=clock())
    forget_member(shop, ANN)
    before = everything(shop)
    with shop.open_ledger() as ledger:
        import_consent(tmp_path / "agreed.csv", ledger, now=clock())
    assert everything(shop) == before
    plan, _ = plan_campaign(shop, definition())
    assert send_plan(shop, plan.plan_id).outcomes["accepted"] == len(MEMBERS) - 2


def test_without_a_ledger_there_is_nothing_to_forget(tmp_path, clock):
    (tmp_path / "empty").mkdir()
    shop = replace(composition(tmp_path / "made", clock), folder=tmp_path / "empty")
    forget_member(shop, ANN)
    assert list((tmp_path / "empty").iterdir()) == []
