import json

import pytest

from campaigns.account import amount
from campaigns.ledger.consent import suppress
from campaigns.ledger.preferences import Change, prefer
from recsys.errors import CampaignError
from tests.campaigns.kit import MEMBERS, NOW, Clock, composition, write_consent

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
    share = planned["assumptions"]["incremental_share"]
    assert planned["basis"].startswith(f"assumed: {share:.0%} of the orders")
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
    assert "nothing can: a suppression is for good" in run("why", "m3")
    assert "no contact point" in run("why", "m7")
    assert "they would have to consent" in run("why", "m7")
    assert "not in the campaign's audience" in run("why", "stranger")
    run("send")  # all of it: no plan is live any more
    assert "m2 often buys what c1 is for" in run("why", "m2")


def test_preview_speaks_the_members_language_or_the_one_that_is_asked_for(run, shop, campaign):
    run("plan", campaign)
    assert "Picked for you" in run("preview", "m1")
    assert "猜你喜欢" in run("preview", "m1", "--language", "zh-CN")
    with shop.open_ledger() as ledger:
        prefer(ledger, "m1", {"email": Change(None, "zh")}, now=NOW)
    assert "猜你喜欢" in run("preview", "m1")
    assert "Picked for you" in run("preview", "m1", "--language", "en")


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


TWO = """\
campaign: NAME
title: NAME
starts_at: 2017-12-01T09:00:00Z
ends_at: 2017-12-08T09:00:00Z
coupons: {from_campaign: "24"}
budget: 100
holdout: 0
"""


@pytest.fixture
def two(tmp_path):
    files = [tmp_path / f"{name}.yaml" for name in ("first", "second")]
    for file in files:
        file.write_text(TWO.replace("NAME", file.stem))
    return files


def test_campaigns_are_planned_together_and_the_prices_are_printed(run, two):
    said = run("plan", *two, "--budget", 1.5)
    assert "Value 13.50; no plan within these limits is worth more than 13.50" in said
    assert "the total budget: the next 1 would earn 2." in said
    facts = json.loads(run("plan", *two, "--budget", 1.5, "--json"))
    assert len(facts["plans"]) == 2
    assert sum(plan["decisions"].get("push", 0) for plan in facts["plans"]) == 4
    total = facts["together"]["limits"][0]
    assert (total["limit"], total["most"], total["used"]) == ("the total budget", 1.5, 1.5)


def test_a_minimum_out_of_reach_is_told_with_what_stands_in_its_way(run, campaign):
    campaign.write_text(CAMPAIGN.replace("budget: 100", "budget: 1\nmin_sends: 5"))
    said = run("plan", campaign)
    assert "5 members get none, for the campaign does not run" not in said
    assert "7 members get none, for the campaign does not run" in said
    assert "of 5, 3 can be reached; in the way: budget of '24'" in said


def test_what_if_prints_value_over_budget(run, shop, campaign):
    said = run("plan", campaign, "--what-if", "budget=0,1,2")
    assert [line.split()[:2] for line in said.splitlines()[1:]] == [
        ["0.00", "9.00"],
        ["1.00", "12.10"],
        ["2.00", "14.80"],
    ]
    found = json.loads(run("plan", campaign, "--what-if", "budget=0,1,2", "--json"))["what_if"]
    assert [one["budget"] for one in found] == [0, 1, 2]
    assert not shop.plans.exists()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("sends=3", "knows budget=A,B,C"),
        ("budget=1,many", "must be numbers"),
        ("budget=", "must be numbers"),
        ("budget=-1", "cannot be planned with"),
    ],
)
def test_what_if_names_what_it_cannot_answer(run, campaign, asked, said):
    with pytest.raises(CampaignError, match=said):
        run("plan", campaign, "--what-if", asked)


def test_why_tells_what_would_have_to_change(run, campaign):
    campaign.write_text(CAMPAIGN.replace("budget: 100", "budget: 1"))
    run("plan", campaign)
    said = run("why", "m2")
    assert "the budget was spent on members where it earns more" in said
    assert "budget of '24'" in said
    assert "its value would have to rise by 0." in said
    one = json.loads(run("why", "m2", "--json"))["plans"][0]["best_coupons"][0]
    assert one["left"] == pytest.approx(one["value"] - sum(one["pays"].values()))
    assert one["left"] < 0
    assert json.loads(run("why", "m1", "--json"))["plans"][0]["best_coupons"][1]["to_change"]


def test_why_compares_the_campaigns_that_were_planned_together(run, two):
    run("plan", *two, "--budget", 1.5)
    plans = json.loads(run("why", "m1", "--json"))["plans"]
    assert sorted(one["decision"] for one in plans) == ["elsewhere", "push"]
    chosen = next(one for one in plans if one["decision"] == "push")
    other = next(one for one in plans if one["decision"] == "elsewhere")
    by_coupon = {one["coupon_id"]: one for one in other["best_coupons"]}
    assert chosen["coupon_id"] == "c2"
    assert (
        by_coupon["c2"]["to_change"] == "as good as the choice made: a lot decides between equals"
    )
    left = [one["left"] for one in chosen["best_coupons"] if one["coupon_id"] == "c2"]
    short = left[0] - by_coupon["c1"]["left"]
    assert by_coupon["c1"]["to_change"] == f"its value would have to rise by {amount(short)}"
