from collections import Counter
from dataclasses import replace
from datetime import timedelta
from email import message_from_bytes

import pytest
from sqlalchemy import text

from campaigns.calendar.due import CLOSED, OVERTAKEN
from campaigns.calendar.running import run_due
from campaigns.ledger.events import events
from campaigns.run import plan_campaign, plan_together
from campaigns.verify import verify
from recsys.errors import CampaignError
from tests.campaigns.kit import NOW, definition

FRIDAY = "friday@2017-12-01T09:00:00Z"


def run(shop, *campaigns):
    return run_due(shop, campaigns, by="ann")


def sent(ran):
    return sum(report.made["accepted"] for report in ran.sent)


def missed(ran):
    return {one.occasion: one.reason for one in ran.missed}


def proven(shop):
    with shop.open_ledger() as ledger:
        report = verify(ledger)
    assert report.breaches == ()
    return report.pushes


def receivers(shop):
    mails = [message_from_bytes(f.read_bytes()) for f in (shop.folder / "outbox").glob("*.eml")]
    return Counter(mail["To"] for mail in mails)


def test_each_week_is_planned_and_sent_once_however_often_it_runs(shop, clock, weekly):
    clock.turn(minutes=30)
    first = run(shop, weekly())
    assert [plan.occasion for plan in first.planned] == [FRIDAY]
    assert sent(first) == 7
    for _ in range(3):
        clock.turn(hours=12)
        again = run(shop, weekly())
        assert (again.planned, sent(again), again.missed) == ([], 0, [])
        assert not again.is_news
    clock.turn(days=7, hours=-36)
    second = run(shop, weekly())
    assert [plan.occasion for plan in second.planned] == ["friday@2017-12-08T09:00:00Z"]
    assert sent(second) == 7
    assert proven(shop) == 14
    with shop.open_ledger() as ledger:
        (event,) = events(ledger, second.planned[0].plan_id)
    assert (event.kind, event.actor, event.at) == ("planned", "ann", clock())


def test_before_its_time_nothing_is_due(shop, clock, weekly):
    clock.turn(seconds=-1)
    ran = run(shop, weekly())
    assert (ran.planned, ran.missed, ran.sent) == ([], [], [])


def test_after_a_break_the_newest_is_caught_up_and_the_others_are_told_of_once(shop, clock, weekly):
    run(shop, weekly())
    clock.turn(days=21, hours=47)
    ran = run(shop, weekly())
    assert [plan.occasion for plan in ran.planned] == ["friday@2017-12-22T09:00:00Z"]
    assert sent(ran) == 0  # at night
    assert missed(ran) == {
        "friday@2017-12-08T09:00:00Z": CLOSED,
        "friday@2017-12-15T09:00:00Z": CLOSED,
    }
    assert missed(run(shop, weekly())) == {}


def test_of_two_that_are_open_the_newer_is_sent(shop, clock, weekly):
    days = (
        "schedule: {every: holiday, at: '09:00', zone: UTC, hours: 72,"
        " days: {a: 2017-12-01, b: 2017-12-09, c: 2017-12-10}}\n"
    )
    holidays = weekly(schedule=days)
    run(shop, holidays)
    clock.turn(days=9)
    ran = run(shop, holidays)
    assert [plan.occasion for plan in ran.planned] == ["friday@2017-12-10T09:00:00Z"]
    assert missed(ran) == {"friday@2017-12-09T09:00:00Z": OVERTAKEN}
    assert sent(ran) == 7


def test_one_whose_window_is_over_is_missed_and_nobody_gets_it_late(shop, clock, weekly):
    run(shop, weekly())
    clock.turn(days=7, hours=48)
    ran = run(shop, weekly())
    assert (ran.planned, missed(ran)) == ([], {"friday@2017-12-08T09:00:00Z": CLOSED})
    assert proven(shop) == 7


def test_before_its_first_plan_a_campaign_missed_nothing(shop, clock, weekly):
    clock.turn(hours=-12)  # a week ago is closed, and today's is not due
    assert missed(run(shop, weekly())) == {}


def test_a_campaign_with_a_window_is_due_in_it_and_missed_after_it(shop, clock):
    late = definition(campaign="late", starts_at=NOW - timedelta(days=9), ends_at=NOW)
    ran = run(shop, definition(), late)
    assert [plan.occasion for plan in ran.planned] == ["24@2017-12-01T09:00:00Z"]
    assert missed(ran) == {"late@2017-11-22T09:00:00Z": CLOSED}


def test_what_was_planned_by_hand_is_sent_and_not_planned_again(shop, weekly):
    plan, _ = plan_campaign(shop, definition())
    ran = run(shop, definition(title="Changed since"))
    assert ran.planned == []
    assert [report.plan_id for report in ran.sent] == [plan.plan_id]
    assert sent(ran) == 7


def test_campaigns_that_are_due_at_once_share_the_members(shop, weekly):
    ran = run(shop, weekly("max_sends: 3\n"), weekly(name="other"))
    pushes = {plan.occasion.partition("@")[0]: plan.counts()["push"] for plan in ran.planned}
    assert pushes["friday"] + pushes["other"] == 7
    assert set(receivers(shop).values()) == {1}
    assert ran.planned[0].account == ran.planned[1].account


def test_a_first_plan_is_the_only_one_of_its_occasion(shop, clock, weekly):
    """As of two runs at once, of which one is late to register."""
    one = definition()
    ((first, new),) = plan_together(shop, [one], replace=False)
    assert new
    ((late, new),) = plan_together(shop, [definition(title="Other")], replace=False)
    assert not new
    assert late.plan_id != first.plan_id
    with shop.open_ledger() as ledger, ledger.reading() as connection:
        states = connection.execute(text("SELECT plan_id, state FROM plan")).all()
    assert [tuple(row) for row in states] == [(first.plan_id, "live")]


def test_what_is_wrong_with_one_campaign_does_not_keep_the_others(shop, weekly):
    broken = weekly(name="broken")
    broken = replace(broken, keys=broken.keys | {"coupons": ["c9"]})
    ran = run(shop, weekly(), broken)
    assert [plan.occasion for plan in ran.planned] == [FRIDAY]
    assert sent(ran) == 7
    assert ran.failed == ["The dataset has no coupon 'c9'; take it out of coupons"]
    assert len(run(shop, weekly(), broken).failed) == 1  # and told again until it is mended


def test_a_campaign_that_is_given_twice_is_refused(shop, weekly):
    with pytest.raises(CampaignError, match="'friday' is given twice"):
        run(shop, weekly(), weekly())


def test_budget_and_number_are_of_each_occasion(shop, clock, weekly):
    poor = replace(weekly(), keys=weekly().keys | {"budget": 1.0})
    few = weekly("max_sends: 4\n", name="few")
    for campaign, pushes in ((poor, 3), (few, 4)):  # two for 0.50 each, and one that is free
        for week in range(3):
            assert sent(run(shop, campaign)) == pushes, week
            clock.turn(days=7)
    assert proven(shop) == 21


def test_rows_that_wait_are_sent_by_a_later_run(shop, clock, weekly):
    clock.turn(hours=13)  # 22:00
    night = run(shop, weekly())
    assert (len(night.planned), sent(night)) == (1, 0)
    clock.turn(hours=12)
    assert sent(run(shop, weekly())) == 7


def test_a_plan_whose_window_is_over_is_closed(shop, clock, weekly):
    clock.turn(hours=13)
    run(shop, weekly())
    clock.turn(hours=48)
    (report,) = run(shop, weekly()).sent
    assert report.outcomes == {"expired": 7, "skipped: no_consent": 1}
    assert report.done


def test_a_paused_plan_is_left_alone(shop, clock, weekly):
    plan, _ = plan_campaign(shop, definition())
    with shop.open_ledger() as ledger, ledger.writing() as connection:
        connection.execute(text("UPDATE plan SET state = 'paused'"))
    ran = run(shop, definition())
    assert ran.waiting == [f"Plan {plan.plan_id} of 24@2017-12-01T09:00:00Z is paused"]
    assert (ran.planned, ran.sent) == ([], [])
