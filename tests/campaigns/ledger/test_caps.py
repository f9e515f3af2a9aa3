"""Calendar weeks, and caps of single channels."""

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from campaigns.ledger.calls import Claimed, Declined
from campaigns.ledger.claims import claim
from campaigns.ledger.consent import Statement, record
from campaigns.ledger.ledger import wake
from campaigns.ledger.settling import Ends, give_back, settle
from campaigns.policy.cap import Cap, ChannelCap
from campaigns.policy.quiet_hours import QuietHours
from campaigns.verify import verify
from tests.campaigns.kit import NOW, a_claim, consenting, live_plan

DAY = timedelta(days=1)
WEEKS = Cap(weeks=True)
ALWAYS = QuietHours(begins=datetime.min.time(), ends=datetime.min.time())
SUNDAY = NOW.replace(day=3, hour=20)  # 2017-12-03, in UTC


def push(ledger, who, at, cap=WEEKS, name=None):
    """One claim of a campaign of its own, settled at once."""
    wake(ledger, now=at, max_idle_days=60)
    plan = live_plan(ledger, name or f"{at:%d-%H-%M}", now=at)
    answer = claim(
        ledger, [a_claim(plan, who)], now=at, until=at + timedelta(minutes=1), cap=cap, quiet=ALWAYS
    )[0]
    if isinstance(answer, Claimed):
        settle(ledger, [Ends([answer], "accepted", at)])
    return answer


def move(ledger, member, zone, at):
    said = Statement(member, "email", f"{member}@example.invalid", True, at, "page", zone)
    record(ledger, [said], now=at)


def test_a_new_week_frees_the_slot_26_hours_after_the_last_push(ledger):
    who = consenting(ledger, "ann")
    assert isinstance(push(ledger, who, SUNDAY), Claimed)
    early = push(ledger, who, SUNDAY + timedelta(hours=25))
    assert (early.reason, early.free_at) == ("capped", SUNDAY + timedelta(hours=26))
    assert isinstance(push(ledger, who, SUNDAY + timedelta(hours=26)), Claimed)
    assert verify(ledger).breaches == ()


def test_within_a_week_one_push_is_all_whatever_lies_between(ledger):
    who = consenting(ledger, "ann")
    monday = NOW.replace(day=4, hour=10)
    push(ledger, who, monday)
    saturday = push(ledger, who, monday + 5 * DAY)
    assert (saturday.reason, saturday.free_at) == ("capped", NOW.replace(day=11, hour=0))


@pytest.mark.parametrize("to", ["Pacific/Kiritimati", "Pacific/Niue"])
def test_who_moves_gains_no_week(ledger, to):
    who = consenting(ledger, "ann")
    push(ledger, who, SUNDAY - 2 * DAY)  # a Friday
    move(ledger, "ann", to, SUNDAY - DAY)
    monday_there = datetime(2017, 12, 4, tzinfo=ZoneInfo(to))
    free = max(monday_there, NOW.replace(day=4, hour=0))
    early = push(ledger, who, free - timedelta(minutes=1))
    assert (early.reason, early.free_at) == ("capped", free)
    assert isinstance(push(ledger, who, free), Claimed)
    assert verify(ledger).breaches == ()


def test_the_two_policies_follow_one_another_in_one_ledger(ledger):
    who = consenting(ledger, "ann")
    rolling = Cap()
    push(ledger, who, SUNDAY, rolling)
    assert isinstance(push(ledger, who, SUNDAY + 2 * DAY, rolling), Declined)
    assert isinstance(push(ledger, who, SUNDAY + 2 * DAY + timedelta(hours=1), WEEKS), Claimed)
    assert isinstance(push(ledger, who, SUNDAY + 8 * DAY, rolling), Declined)
    assert isinstance(push(ledger, who, SUNDAY + 10 * DAY, rolling), Claimed)
    assert verify(ledger).breaches == ()


def test_a_channel_may_have_a_cap_of_its_own(ledger):
    who = consenting(ledger, "ann")
    cap = Cap(channels={"email": ChannelCap(most=2, days=30)})
    for week in range(2):
        assert isinstance(push(ledger, who, NOW + week * 7 * DAY + week * DAY, cap), Claimed)
    third = push(ledger, who, NOW + 16 * DAY, cap)
    assert third.reason == "capped"
    assert NOW + 30 * DAY <= third.free_at <= NOW + 30 * DAY + timedelta(minutes=1)
    assert isinstance(push(ledger, who, third.free_at, cap), Claimed)
    assert verify(ledger).breaches == ()


def test_a_call_that_delivered_nothing_gives_its_token_back(ledger):
    who = consenting(ledger, "ann")
    cap = Cap(channels={"email": ChannelCap(most=1, days=30)})
    plan = live_plan(ledger)
    soon = NOW + timedelta(minutes=1)
    first = claim(ledger, [a_claim(plan, who)], now=NOW, until=soon, cap=cap, quiet=ALWAYS)[0]
    assert give_back(ledger, [first]) == [first.send_id]
    again = claim(ledger, [a_claim(plan, who)], now=soon, until=2 * (soon - NOW) + NOW, cap=cap,
                  quiet=ALWAYS)[0]  # fmt: skip
    assert isinstance(again, Claimed)


def test_people_at_one_address_share_its_channels_cap(ledger):
    cap = Cap(channels={"email": ChannelCap(most=1, days=30)})
    ann, bob = (consenting(ledger, name, "home@example.invalid") for name in ("ann", "bob"))
    push(ledger, ann, NOW, cap)
    assert push(ledger, bob, NOW + 8 * DAY, cap).reason == "capped"
