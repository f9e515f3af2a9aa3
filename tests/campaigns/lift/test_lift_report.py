"""From plan to report over real ledgers: what is measured, and what is refused."""

import shutil
from datetime import timedelta

import polars as pl
import pytest
from sqlalchemy import text

from campaigns.erasing import forget_member
from campaigns.instants import to_micros
from campaigns.ledger.arms import read_arms
from campaigns.ledger.past_plans import past_plans
from campaigns.ledger.redemptions import Redemption, Use, redeem, reverse
from campaigns.lift.report import lift_report
from campaigns.lift.wording import latest
from campaigns.plan import read_plan
from campaigns.run import plan_campaign, send_plan
from recsys.errors import CampaignError
from tests.campaigns.kit import NOW, WEEK, Clock
from tests.campaigns.lift.kit import (
    LATER,
    ORDER,
    SENT,
    a_campaign,
    answered,
    arms_of,
    lift_of,
    lift_shop,
    names,
    planned_and_sent,
    reopened,
    say,
    write_orders,
)

MEMBERS = 480
TREBLE = {"treat": 3.0, "holdout": 1.0}.__getitem__


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shop(tmp_path, clock, ledger_url):
    """On both databases."""
    return lift_shop(tmp_path, clock, ledger_url, members=MEMBERS)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Folders of a shop, before its plan and after the sending: copied, for both take seconds."""
    consented, clock = tmp_path_factory.mktemp("consented"), Clock()
    lift_shop(consented, clock, members=MEMBERS)
    sent = tmp_path_factory.mktemp("sent") / "shop"
    shutil.copytree(consented, sent)
    planned_and_sent(reopened(sent, clock, members=MEMBERS), clock)
    shutil.rmtree(sent / "outbox")
    return {"consented": consented, "sent": sent}


@pytest.fixture
def file_shop(tmp_path, clock, prepared):
    shutil.copytree(prepared["consented"], tmp_path, dirs_exist_ok=True)
    return reopened(tmp_path, clock, members=MEMBERS)


@pytest.fixture
def sent(tmp_path, clock, prepared):
    """Half are held out; the others were sent to at SENT, which it is now."""
    shutil.copytree(prepared["sent"], tmp_path, dirs_exist_ok=True)
    clock.instant = SENT
    return reopened(tmp_path, clock, members=MEMBERS)


def forge(shop, statement, **values):
    with shop.open_ledger() as ledger, ledger.writing() as connection:
        return connection.execute(text(statement), values).rowcount


def person(shop, member):
    with shop.open_ledger() as ledger:
        return ledger.identity.person(member)


def effect(lift, outcome, day):
    return next(one for one in lift.effects if (one.outcome, one.day) == (outcome, day))


def orders_a_member(orders, arms, arm, *, days):
    """Counted from what was written, for those of an arm."""
    found = [
        at for member, at in orders if arms[member] == arm and SENT <= at < SENT + timedelta(days)
    ]
    return len(found) / sum(one == arm for one in arms.values())


def test_a_known_effect_is_found(shop, clock):
    planned_and_sent(shop, clock)
    arms = arms_of(shop, MEMBERS)
    orders = answered(shop, arms, times=TREBLE)
    clock.turn(days=40)
    lift = lift_of(shop).whole
    assert lift.withheld == []
    assert (lift.treated.members, lift.held_out.members) == tuple(
        sum(arm == side for arm in arms.values()) for side in ("treat", "holdout")
    )
    assert lift.reached == lift.treated.members
    assert all(one.holds for one in lift.checks)
    found = effect(lift, "orders", 28)
    assert found.planned == pytest.approx(orders_a_member(orders, arms, "treat", days=28))
    assert found.low < 4.0 < found.high
    assert found.low > 0
    assert found.total == pytest.approx(found.effect * lift.treated.members)
    revenue, profit = effect(lift, "revenue", 28), effect(lift, "profit", 28)
    assert revenue.effect == pytest.approx(ORDER * found.effect)
    assert profit.effect == pytest.approx(0.25 * revenue.effect - 0.5)  # what a coupon costs
    assert profit.low < 0.25 * ORDER * 4 - 0.5 < profit.high
    week = effect(lift, "orders", 7)
    assert week.planned == pytest.approx(orders_a_member(orders, arms, "treat", days=7))


def test_no_effect_is_not_found(sent, clock):
    answered(sent, arms_of(sent, MEMBERS))
    clock.turn(days=40)
    lift = lift_of(sent).whole
    assert {one.outcome for one in lift.effects} == {"orders", "revenue", "profit"}
    assert all(one.low < 0 < one.high for one in lift.effects if one.outcome != "profit")


def test_what_is_redeemed_costs_its_discount_and_is_undone_with_its_order(sent, clock):
    arms = arms_of(sent, MEMBERS)
    answered(sent, arms)
    without = effect_of_profit(sent, clock)
    pushed = sorted(member for member, arm in arms.items() if arm == "treat")
    with sent.open_ledger() as ledger:
        for place, member in enumerate(pushed[:80]):
            use = Use(f"r{place}", "c1", 200, NOW + timedelta(days=2), member)
            assert isinstance(redeem(ledger, use, limit=None, now=clock()), Redemption)
        assert reverse(ledger, "r0", now=clock())
    lift = lift_of(sent).whole
    assert not any(one.outcome == "redemptions" and one.day < 3 for one in lift.effects)
    redeemed = effect(lift, "redemptions", 7)
    assert redeemed.planned == pytest.approx(79 / len(pushed))
    mean = latest(lift).planned
    assert mean == pytest.approx(without - 2.0 * 79 / len(pushed))


def effect_of_profit(shop, clock):
    clock.turn(days=40)
    return latest(lift_of(shop).whole).planned


def test_an_erased_member_is_counted_and_left_out_of_either_arm(shop, clock):
    planned_and_sent(shop, clock)
    arms = arms_of(shop, MEMBERS)
    gone = [
        sorted(member for member, arm in arms.items() if arm == side)[0]
        for side in ("treat", "holdout")
    ]
    orders = answered(shop, arms, times=TREBLE)
    clock.turn(days=40)
    for member in gone:
        forget_member(shop, member)
    lift = lift_of(shop).whole
    assert (lift.treated.erased, lift.held_out.erased) == (1, 1)
    assert lift.treated.members == sum(arm == "treat" for arm in arms.values())
    rest = {member: arm for member, arm in arms.items() if member not in gone}
    kept = [(member, at) for member, at in orders if member in rest]
    found = effect(lift, "orders", 28)
    assert found.planned == pytest.approx(orders_a_member(kept, rest, "treat", days=28))
    assert lift.days[0].treated == lift.treated.clusters - 1


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


def test_members_who_share_an_address_are_one_cluster_in_one_arm(tmp_path, clock):
    """Every tenth shares with the one before."""
    pairs = {f"n{at:04d}": f"n{at - 1:04d}@example.invalid" for at in range(1, MEMBERS, 10)}
    shop = lift_shop(tmp_path, clock, members=MEMBERS, shared=pairs)
    planned_and_sent(shop, clock)
    arms = arms_of(shop, MEMBERS)
    assert all(
        arms[member] == arms[f"n{int(member[1:]) - 1:04d}"]
        for member in pairs
        if member in arms and f"n{int(member[1:]) - 1:04d}" in arms
    )
    orders = answered(shop, arms, times=TREBLE)
    clock.turn(days=40)
    lift = lift_of(shop).whole
    assert lift.withheld == []
    assert lift.treated.clusters < lift.treated.members
    found = effect(lift, "orders", 28)
    members = len(arms) / (lift.treated.clusters + lift.held_out.clusters)
    treated = [member for member, arm in arms.items() if arm == "treat"]
    through = [at for member, at in orders if member in treated and at < SENT + timedelta(28)]
    assert found.planned == pytest.approx(len(through) / lift.treated.clusters / members)
    assert found.low < 4.0 < found.high


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


def test_a_member_counts_once_from_the_first_slot_on(sent, clock):
    """Two occasions with the same arms: the whole begins with the first, for all."""
    arms = arms_of(sent, MEMBERS)
    orders = answered(sent, arms, times=TREBLE, days=60)
    clock.turn(days=10)
    planned_and_sent(sent, clock, starts_at=clock(), ends_at=clock() + WEEK)
    second = clock()
    clock.turn(days=80)
    found = lift_of(sent)
    assert [one.occasion for one in found.occasions] == [
        "tea@2017-12-01T09:00:00Z",
        "tea@2017-12-11T09:05:00Z",
    ]
    assert found.whole.treated == found.occasions[0].treated == found.occasions[1].treated
    assert found.whole.reached == found.whole.treated.members
    assert [one.reached for one in found.occasions] == [found.whole.reached] * 2
    left = "UPDATE send SET ghost = 1, cost = 0 WHERE occasion = :o AND person = :p"
    one = min(member for member, arm in arms.items() if arm == "treat")
    forge(sent, left, o=found.occasions[1].occasion, p=person(sent, one))
    reached = [one.reached for one in lift_of(sent).occasions]
    assert reached == [found.whole.reached, found.whole.reached - 1]
    whole, first, last = (
        effect(one, "orders", 28) for one in (found.whole, *found.occasions)
    )  # fmt: skip
    assert whole == first
    later = [at for m, at in orders if arms[m] == "treat" and second <= at < second + timedelta(28)]
    assert last.planned == pytest.approx(len(later) / found.whole.treated.members)
    # Both pushes cost; the second one falls into the first one's 28 days.
    profit = effect(found.whole, "profit", 28)
    assert profit.planned == pytest.approx(0.25 * ORDER * whole.planned - 2 * 0.5)


def test_whoever_was_planned_counts_though_nobody_reached_them(file_shop, clock):
    plan, _ = plan_campaign(file_shop, a_campaign())
    arms = arms_of(file_shop, MEMBERS)
    left = sorted(member for member, arm in arms.items() if arm == "treat")[:50]
    clock.instant += LATER
    say(file_shop, {member: f"{member}@example.invalid" for member in left}, "no")
    send_plan(file_shop, plan.plan_id)
    answered(file_shop, arms, times=TREBLE)
    clock.turn(days=40)
    lift = lift_of(file_shop).whole
    assert lift.treated.members == sum(arm == "treat" for arm in arms.values())
    assert lift.reached == lift.treated.members - 50


def test_a_plan_that_was_replaced_before_any_of_it_was_sent_counts_nothing(file_shop, clock):
    plan_campaign(file_shop, a_campaign(title="too many"))
    clock.instant += LATER
    planned_and_sent(file_shop, clock, budget=40.0, title="fewer")
    arms = arms_of(file_shop, MEMBERS)
    answered(file_shop, arms)
    clock.turn(days=40)
    lift = lift_of(file_shop).whole
    assert lift.treated.members == lift.reached == 80


def test_the_ledger_remembers_what_plans_that_went_with_age_had_planned(sent, clock):
    answered(sent, arms_of(sent, MEMBERS), times=TREBLE)
    clock.turn(days=40)
    before = lift_of(sent)
    shutil.rmtree(sent.plans)
    assert lift_of(sent) == before


def test_rows_of_a_live_plan_that_wait_count_as_planned(sent):
    """The first batch is claimed, then the sender stops."""
    with sent.open_ledger() as ledger:
        (past,) = past_plans(ledger, "tea")
    counts = read_plan(past.plan_id, sent.plans).counts()
    forge(sent, "DELETE FROM outcome WHERE send_id IN (SELECT send_id FROM send LIMIT 30)")
    forge(sent, "DELETE FROM send WHERE send_id IN (SELECT send_id FROM send LIMIT 30)")
    forge(sent, "UPDATE plan SET state = 'live'")
    lift = lift_of(sent).whole
    assert (lift.treated.members, lift.held_out.members) == (counts["push"], counts["held_out"])
    assert lift.reached < lift.treated.members


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


def test_days_are_told_as_they_pass_and_the_future_is_not_known(sent, clock):
    answered(sent, arms_of(sent, MEMBERS), times=TREBLE)
    told = []
    for _ in range(30):
        clock.turn(days=1)
        told.append({one.day for one in lift_of(sent).whole.effects})
    # The orders of the first day are too few.
    assert [len(days) for days in told] == [0] * 2 + [1] * 4 + [2] * 7 + [3] * 14 + [4] * 3
    assert told[-1] == {3, 7, 14, 28}


def test_returns_and_own_margins_count(sent, clock):
    arms = arms_of(sent, MEMBERS)
    answered(sent, arms, times=TREBLE)
    clock.turn(days=40)
    before = latest(lift_of(sent).whole)
    products = sent.folder / "dataset" / "products.parquet"
    catalogue = pl.read_parquet(products)
    catalogue.with_columns(margin=pl.lit(7.5)).write_parquet(products)
    margins = latest(lift_of(sent).whole)
    assert margins.effect + 0.5 == pytest.approx((before.effect + 0.5) * 7.5 / (0.25 * ORDER))
    after = sent.folder / "dataset" / "events" / "after.parquet"
    some = pl.read_parquet(after)
    pl.concat([some, some.with_columns(kind=pl.lit("return"))]).write_parquet(after)
    undone = lift_of(sent).whole
    assert all(abs(one.planned) < 1e-9 for one in undone.effects if one.outcome == "revenue")


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


def test_a_bounce_costs_nothing(sent, clock):
    answered(sent, arms_of(sent, MEMBERS), times=TREBLE)
    clock.turn(days=40)
    before = latest(lift_of(sent).whole).planned
    forge(sent, "UPDATE send SET released = 1 WHERE ghost = 0")
    assert latest(lift_of(sent).whole).planned == pytest.approx(before + 0.5)


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


def test_campaigns_do_not_see_each_other(sent, clock):
    clock.turn(days=10)
    planned_and_sent(sent, clock, campaign="milk", starts_at=clock(), ends_at=clock() + WEEK)
    with sent.open_ledger() as ledger:
        assert len(read_arms(ledger, "milk").claims) == len(read_arms(ledger, "tea").claims)
        assert {row[1] for row in read_arms(ledger, "milk").plans} == {"milk@2017-12-11T09:05:00Z"}
    write_orders(sent, [(names(1)[0], NOW + timedelta(days=60))], "late")
    clock.turn(days=60)
    both = lift_report(sent, ["tea", "milk", "tea"]).campaigns
    assert [one.campaign for one in both] == ["tea", "milk"]
