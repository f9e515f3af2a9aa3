import json

import pytest
from typer.testing import CliRunner

from campaigns.cli import app
from campaigns.ledger.consent import suppress
from recsys.errors import CampaignError
from tests.campaigns.kit import MEMBERS, Clock, composition, write_consent

CAMPAIGN = """\
campaign: "24"
title: Your week
starts_at: 2017-12-01T09:00:00Z
ends_at: 2017-12-08T09:00:00Z
coupons: {from_campaign: "24"}
budget: 100
holdout: 0
"""


@pytest.fixture
def shop(tmp_path):
    return composition(tmp_path, Clock())


@pytest.fixture
def run(shop):
    def invoke(*words, code=0):
        result = CliRunner().invoke(app, [str(w) for w in words], obj=shop, catch_exceptions=False)
        assert result.exit_code == code, result.output
        return result.stdout

    return invoke


@pytest.fixture
def campaign(tmp_path):
    path = tmp_path / "campaign.yaml"
    path.write_text(CAMPAIGN)
    return path


def test_a_campaign_is_planned_sent_and_proven(run, shop, campaign):
    said = run("plan", campaign)
    assert "7 members get a push" in said
    assert "margin_rate 0.25, coupon_value 1.0" in said
    assert "m1 often buys what c2 is for" in said
    assert "7 sent now" in run("send")
    assert "7 pushes to 7 people" in run("verify")
    assert len(list((shop.folder / "outbox").glob("*.eml"))) == len(MEMBERS) - 1


def test_json_is_one_object_and_nothing_else(run, campaign):
    planned = json.loads(run("plan", campaign, "--json"))
    assert planned["decisions"] == {"push": 7, "no_consent": 1}
    assert planned["cost"] == 3.0
    sent = json.loads(run("send", planned["plan"], "--json"))
    assert sent["plans"][0]["made"] == {"accepted": 7}
    assert json.loads(run("verify", "--json"))["breaches"] == []
    why = json.loads(run("why", "m1", "--plan", planned["plan"], "--json"))["plans"][0]
    assert (why["coupon_id"], why["decision"], why["outcome"]) == ("c2", "push", "accepted")
    assert [one["coupon_id"] for one in why["best_coupons"]] == ["c2", "c1"]


def test_verify_exits_1_on_a_breach_and_says_which(run, shop, campaign):
    run("plan", campaign)
    run("send")
    with shop.open_ledger() as ledger, ledger.writing() as connection:
        connection.exec_driver_sql("DELETE FROM consent")
    assert "Broken: consent, 7 times" in run("verify", code=1)


def test_why_tells_each_kind_of_member_their_reason(run, shop, campaign):
    with shop.open_ledger() as ledger:
        suppress(ledger, [ledger.identity.person("m3")], reason="complaint", now=shop.now())
    run("plan", campaign)
    assert "m2 often buys what c1 is for" in run("why", "m2")
    assert "on the suppression list" in run("why", "m3")
    assert "no contact point" in run("why", "m7")
    assert "not in the campaign's audience" in run("why", "stranger")
    run("send")  # all of it: no plan is live any more
    assert "m2 often buys what c1 is for" in run("why", "m2")


def test_preview_shows_the_message_and_sends_nothing(run, shop, campaign):
    run("plan", campaign)
    said = run("preview", "m1")
    assert "Bread" in said
    assert not (shop.folder / "outbox").exists()
    with pytest.raises(CampaignError, match="campaigns why m7"):
        run("preview", "m7")


def test_sending_without_a_plan_says_how_to_make_one(run):
    for command in (["send"], ["why", "m1"], ["preview", "m1"]):
        with pytest.raises(CampaignError, match="campaigns plan FILE"):
            run(*command)


def test_consent_import_tells_what_it_left_out(run, tmp_path):
    file = write_consent(tmp_path / "more.csv", ["new", ""])
    said = run("consent", "import", file)
    assert "1 new statements" in said
    assert "row 3, member_id: empty" in said
    assert json.loads(run("consent", "import", file, "--json"))["known"] == 1
