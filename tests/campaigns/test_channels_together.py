"""Campaigns of several channels: one slot a member, and what a channel takes for a message."""

import math
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.explain import explain_member
from campaigns.ledger.consent import Statement, record
from campaigns.run import plan_campaign, plan_together, send_plan
from campaigns.settings import CampaignSettings
from campaigns.verify import verify
from tests.campaigns.kit import MEMBERS, NOW, WEEK, Clock, bread, composition, tea
from tests.campaigns.test_together import AT_WILL, REACHED, decided, rows, tables


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shop(tmp_path, clock):
    return composition(tmp_path, clock, tables())


def with_channels(shop, clock, *, phones, **costs):
    """The shop, with consent for messages to the phones of some members, and costs of channels."""
    said = [
        Statement(member, "sms", f"+4915100000{at:02}", True, NOW - WEEK, "test", "UTC", "en")
        for at, member in enumerate(phones)
    ]
    with shop.open_ledger() as ledger:
        record(ledger, said, now=clock())
    channels = {name: {"cost": cost} for name, cost in costs.items()}
    return replace(shop, settings=CampaignSettings.model_validate({"channels": channels}))


def test_each_member_gets_the_campaign_of_the_channel_that_earns_most_with_them(shop, clock):
    shop = with_channels(shop, clock, phones=MEMBERS[2:])
    (mail, _), (text, _) = plan_together(shop, [tea(), bread(channel="sms")])
    # without the channel nobody is sent to: m0 and m1 have no phone, m7 no address
    assert decided(mail) == {
        m: "no_consent" if m == "m7" else "elsewhere" if i in (2, 3) else "push"
        for i, m in enumerate(MEMBERS)
    }
    assert decided(text) == {
        m: "no_consent" if i < 2 else "elsewhere" if 4 <= i < 7 else "push"
        for i, m in enumerate(MEMBERS)
    }
    assert set(text.rows["channel"]) == {"sms"}


def test_what_a_channel_takes_counts_in_value_cost_and_choice(shop, clock):
    free = plan_together(shop, [tea(), bread()])
    assert decided(free[1][0])["m1"] == "push"  # worth 1.6 against 1.1
    shop = with_channels(shop, clock, phones=REACHED, sms=0.6)
    (mail, _), (text, _) = plan_together(shop, [tea(), bread(channel="sms")])
    # 1.7 - i / 10 - 0.6 against 1.0 + i / 10
    assert decided(text) == {
        m: "push" if m == "m0" else "elsewhere" if m != "m7" else "no_consent" for m in MEMBERS
    }
    row = rows(text)["m0"]
    assert (row["expected_value"], row["cost"]) == (pytest.approx(1.1), 110)
    assert rows(mail)["m1"]["cost"] == 50
    told = explain_member(shop, text, "m0", beside=[mail, text])["best_coupons"][0]
    assert (told["coupon_id"], told["value"]) == ("c2", pytest.approx(1.1))


def test_what_a_channel_takes_is_paid_from_the_budget(shop, clock):
    shop = with_channels(shop, clock, phones=REACHED, sms=0.25)
    plan = plan_campaign(shop, bread(channel="sms", budget=1.5))[0]
    assert plan.counts() == {"push": 2, "budget": 5, "no_consent": 1}
    assert send_plan(shop, plan.plan_id).outcomes["accepted"] == 2
    with shop.open_ledger() as ledger:
        with ledger.reading() as connection:
            used = "SELECT used FROM purse WHERE purse = 'budget:bread'"
            assert connection.exec_driver_sql(used).scalar() == 150
        assert verify(ledger).breaches == ()
    files = sorted(path.name for path in (shop.folder / "outbox").iterdir())
    assert [name.partition(".")[2] for name in files] == ["sms.txt"] * 2
    assert "sms to +49151000000" in (shop.folder / "outbox" / files[0]).read_text()


def test_a_channel_that_costs_more_than_it_earns_is_not_used(shop, clock):
    shop = with_channels(shop, clock, phones=REACHED, sms=2.0)
    plan = plan_campaign(shop, bread(channel="sms"))[0]
    assert plan.counts() == {"no_offer_worth_it": 7, "no_consent": 1}


def test_one_push_a_week_over_all_channels(shop, clock):
    shop = with_channels(shop, clock, phones=REACHED)
    first = plan_campaign(shop, tea())[0]
    assert send_plan(shop, first.plan_id).outcomes["accepted"] == 7
    clock.turn(minutes=1)
    later = bread(channel="sms", ends_at=NOW + timedelta(days=6))
    plan = plan_campaign(shop, later)[0]
    assert plan.counts() == {"capped": 7, "no_consent": 1}


@AT_WILL
@given(
    phones=st.sets(st.sampled_from(MEMBERS)),
    costs=st.fixed_dictionaries(
        {"email": st.sampled_from([0.0, 0.3]), "sms": st.sampled_from([0.0, 0.004, 0.7])}
    ),
    share=st.sampled_from([0.0, 0.5]),
    budget=st.sampled_from([None, 2.0]),
)
def test_channels_planned_together_keep_to_one_slot_and_the_best_value(
    tmp_path_factory, phones, costs, share, budget
):
    clock = Clock()
    shop = composition(tmp_path_factory.mktemp("shop"), clock, tables())
    shop = with_channels(shop, clock, phones=sorted(phones), **costs)
    asked = [tea(holdout=share), bread(channel="sms")]
    mail, text = (rows(plan) for plan, _ in plan_together(shop, asked, budget=budget))
    gives = ("push", "held_out")
    for at, member in enumerate(MEMBERS):
        given_mail, given_text = mail[member]["decision"], text[member]["decision"]
        assert not (given_mail in gives and given_text in gives)
        assert given_text not in gives or member in phones
        assert given_mail not in gives or member in REACHED
        if budget is None and member in phones and member in REACHED:
            by_mail = 1.0 + at / 10 - costs["email"]
            by_text = 1.7 - at / 10 - costs["sms"]
            if abs(by_mail - by_text) > 1e-6:
                assert (given_mail in gives) == (by_mail > by_text)
    pushes = [row for one in (mail, text) for row in one.values() if row["decision"] == "push"]
    for row in pushes:
        own = {"email": costs["email"], "sms": costs["sms"]}[row["channel"]]
        assert row["cost"] == math.ceil((0.5 + own) * 100 - 1e-9)
    assert budget is None or sum(row["cost"] for row in pushes) <= budget * 100
