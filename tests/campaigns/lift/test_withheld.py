"""From plan to report over real ledgers: what is refused, and why."""

from datetime import timedelta

import pytest

from campaigns.instants import to_micros
from campaigns.lift.report import lift_report
from recsys.errors import CampaignError
from tests.campaigns.kit import WEEK
from tests.campaigns.lift.kit import (
    MEMBERS,
    TREBLE,
    answered,
    arms_of,
    forge,
    lift_of,
    lift_shop,
    person,
    planned_and_sent,
    say,
)


def test_a_held_out_member_who_got_a_push_withholds_the_number(shop, clock):
    planned_and_sent(shop, clock)
    arms = arms_of(shop, MEMBERS)
    answered(shop, arms, times=TREBLE)
    clock.turn(days=40)
    leaked = min(member for member, arm in arms.items() if arm == "treat")
    assert forge(
        shop, "UPDATE assignment SET arm = 'holdout' WHERE person = :p", p=person(shop, leaked)
    )
    lift = lift_of(shop).whole
    assert lift.effects == []
    assert lift.withheld == [
        "held out and pushed: 1 contact points that are held out got a push of it"
    ]


def test_a_split_that_chance_does_not_make_withholds_the_number(sent, clock):
    arms = arms_of(sent, MEMBERS)
    answered(sent, arms, times=TREBLE)
    clock.turn(days=40)
    for member in sorted(member for member, arm in arms.items() if arm == "holdout")[:90]:
        forge(sent, "DELETE FROM outcome WHERE send_id IN (SELECT send_id FROM send"
              " WHERE person = :p)", p=person(sent, member))  # fmt: skip
        forge(sent, "DELETE FROM send WHERE person = :p", p=person(sent, member))
    lift = lift_of(sent).whole
    assert lift.effects == []
    assert lift.withheld[0].startswith("sample ratio: ")
    assert "50.00% were to be" in lift.withheld[0]


def test_one_address_in_both_arms_withholds_the_number(sent, clock):
    arms = arms_of(sent, MEMBERS)
    answered(sent, arms)
    clock.turn(days=40)
    held = min(member for member, arm in arms.items() if arm == "holdout")
    pushed = min(member for member, arm in arms.items() if arm == "treat")
    moved = "UPDATE assignment SET contact = (SELECT contact FROM assignment WHERE person = :q) "
    forge(
        sent,
        moved + "WHERE person = :p",
        p=person(sent, held),
        q=person(sent, pushed),
    )
    assert "in both arms: 1 contact points are in both arms" in lift_of(sent).whole.withheld


def test_addresses_that_members_came_to_share_withhold_the_number_if_they_are_many(sent, clock):
    arms = arms_of(sent, MEMBERS)
    answered(sent, arms, times=TREBLE)
    clock.turn(days=40)
    held = sorted(member for member, arm in arms.items() if arm == "holdout")
    pushed = sorted(member for member, arm in arms.items() if arm == "treat")
    say(sent, {held[0]: f"{pushed[0]}@example.invalid"})
    lift = lift_of(sent).whole
    assert lift.effects
    shared = next(one for one in lift.checks if one.name == "shared contact points")
    assert shared.found == "1 contact points share members with the other arm; 2 may"
    say(sent, {h: f"{p}@example.invalid" for h, p in zip(held[:4], pushed[:4], strict=True)})
    lift = lift_of(sent).whole
    assert lift.effects == []
    assert lift.withheld == [
        "shared contact points: 4 contact points share members with the other arm; 2 may"
    ]


def test_a_new_share_draws_anew_and_what_was_before_is_not_added(sent, clock):
    arms = arms_of(sent, MEMBERS)
    clock.turn(days=10)
    week = {"starts_at": clock(), "ends_at": clock() + WEEK}
    planned_and_sent(sent, clock, holdout=0.4, **week)
    answered(sent, arms, days=80)
    clock.turn(days=80)
    found = lift_of(sent)
    assert len(found.occasions) == 2
    for one in (found.whole, *found.occasions):
        assert one.effects == []
        assert one.withheld[0].startswith("arms that changed: ")


def test_arms_that_changed_long_ago_are_no_hindrance(sent, clock):
    arms = arms_of(sent, MEMBERS)
    clock.turn(days=30)
    week = {"starts_at": clock(), "ends_at": clock() + WEEK}
    planned_and_sent(sent, clock, holdout=0.4, **week)
    answered(sent, arms, days=80)
    clock.turn(days=80)
    found = lift_of(sent)
    assert all(occasion.effects for occasion in found.occasions)
    # The whole begins where the arms of now were drawn.
    last = found.occasions[-1]
    assert (found.whole.share, found.whole.since) == (0.4, last.since)
    assert found.whole.effects == last.effects


def test_a_new_share_amid_the_sending_of_an_occasion_is_told(sent, clock):
    answered(sent, arms_of(sent, MEMBERS))
    forge(sent, "INSERT INTO holdout_epoch SELECT campaign, 2, '0.4', :at FROM holdout_epoch",
          at=to_micros(clock() + timedelta(hours=1)))  # fmt: skip
    forge(sent, "INSERT INTO assignment SELECT campaign, 2, person, contact, arm, assigned_at"
          " FROM assignment")  # fmt: skip
    forge(sent, "INSERT INTO plan SELECT 'again', occasion, campaign, 'done', planned_rows, :at"
          " FROM plan", at=to_micros(clock() + timedelta(hours=2)))  # fmt: skip
    forge(sent, "UPDATE plan SET state = 'replaced' WHERE plan_id <> 'again'")
    forge(sent, "UPDATE send SET plan_id = 'again' WHERE send_id IN"
          " (SELECT send_id FROM send ORDER BY send_id LIMIT 100)")  # fmt: skip
    clock.turn(days=40)
    (occasion,) = lift_of(sent).occasions
    assert occasion.effects == []
    assert occasion.withheld[0].startswith("the share held out was changed at 2017-12-01 10:05 UTC")


@pytest.mark.parametrize("share", [0.05, 0.3])
def test_too_few_held_out_say_so(tmp_path, clock, share):
    shop = lift_shop(tmp_path, clock, members=300)
    planned_and_sent(shop, clock, holdout=share)
    answered(shop, arms_of(shop, 300), times=TREBLE)
    clock.turn(days=40)
    lift = lift_of(shop).whole
    assert lift.effects == []
    (reason,) = lift.withheld
    held = lift.held_out.clusters
    assert reason == (
        f"{held} contact points are held out and {lift.treated.clusters} are not; below 100 in "
        "each arm chance rules"
    )


def test_nobody_held_out_says_so(tmp_path, clock):
    shop = lift_shop(tmp_path, clock, members=120)
    planned_and_sent(shop, clock, holdout=0.0)
    assert lift_of(shop).whole.withheld == ["nobody is held out; give the campaign a holdout"]


def test_a_dataset_that_ends_before_the_first_day_says_so(sent, clock):
    clock.turn(days=40)
    (reason,) = lift_of(sent).whole.withheld
    assert "drain the feed" in reason


def test_a_campaign_that_never_was_is_named(sent):
    with pytest.raises(CampaignError, match="Nothing of campaign 'tee' was sent yet; sent: tea"):
        lift_report(sent, ["tee"])


def test_nothing_sent_is_said(file_shop):
    with pytest.raises(CampaignError, match="sent: none"):
        lift_report(file_shop, ["tea"])


def test_a_ledger_without_arms_is_named(sent):
    forge(sent, "DELETE FROM assignment")
    with pytest.raises(CampaignError, match="Of campaign 'tea' the ledger knows no arms"):
        lift_of(sent)


def test_members_of_both_arms_who_turn_out_to_be_one_cross_them(sent, clock):
    arms = arms_of(sent, MEMBERS)
    held, pushed = (
        sorted(member for member, arm in arms.items() if arm == side)[:6]
        for side in ("holdout", "treat")
    )
    pairs = [*zip(held[:2], pushed[:2], strict=True), *zip(pushed[2:4], held[2:4], strict=True)]
    for merged, survivor in pairs:
        forge(
            sent,
            "INSERT INTO merge (merged, survivor, source, at) VALUES (:m, :s, 'test', 0)",
            m=person(sent, merged),
            s=person(sent, survivor),
        )
    assert lift_of(sent).whole.withheld == [
        "shared contact points: 4 contact points share members with the other arm; 2 may"
    ]
