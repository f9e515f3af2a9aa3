from datetime import time, timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text

from campaigns.instants import from_micros, to_micros
from campaigns.ledger.assigning import assign_arms
from campaigns.ledger.calls import Claimed, Declined
from campaigns.ledger.claims import claim, reclaim
from campaigns.ledger.consent import Statement, record, suppress
from campaigns.ledger.ledger import Ledger, wake
from campaigns.ledger.plans import close_rows, outcomes
from campaigns.ledger.settling import Ends, give_back, settle
from campaigns.policy.quiet_hours import USUAL, QuietHours
from campaigns.verify import verify
from recsys.errors import LedgerError
from tests.campaigns.kit import NOW, WEEK, a_claim, consenting, live_plan

MINUTE = timedelta(minutes=1)
ANY_TIME = QuietHours(time(0), time(0))


def take(ledger, one, now=NOW, quiet=USUAL):
    (answer,) = claim(ledger, [one], now=now, until=now + MINUTE, quiet=quiet)
    return answer


def push(ledger, one, now=NOW, ended=None):
    answer = take(ledger, one, now)
    assert isinstance(answer, Claimed), answer
    settle(ledger, [Ends([answer], "accepted", ended or now)])
    return answer


def reason(answer) -> str:
    assert isinstance(answer, Declined), answer
    return answer.reason


def used(ledger: Ledger) -> dict[str, int]:
    with ledger.reading() as connection:
        rows = connection.execute(text("SELECT purse, used FROM purse")).all()
    return {row.purse: row.used for row in rows}


def test_a_second_push_within_seven_days_of_the_first_ones_end_is_capped(ledger):
    who = consenting(ledger, "ann")
    first, second = live_plan(ledger, "a"), live_plan(ledger, "b")
    ended = NOW + timedelta(seconds=30)
    push(ledger, a_claim(first, who), ended=ended)
    tick = timedelta(microseconds=1)
    wake(ledger, now=ended + WEEK - tick, max_idle_days=35)
    early = take(ledger, a_claim(second, who), ended + WEEK - tick)
    assert reason(early) == "capped"
    assert early.free_at == ended + WEEK
    assert isinstance(take(ledger, a_claim(second, who), ended + WEEK), Claimed)


def test_two_members_who_share_an_address_share_the_cap(ledger):
    one = consenting(ledger, "ann", "home@example.invalid")
    two = consenting(ledger, "bob", "HOME@example.invalid")
    assert one[1] == two[1]
    plan = live_plan(ledger)
    push(ledger, a_claim(plan, one))
    assert reason(take(ledger, a_claim(plan, two))) == "capped"


def test_a_claim_that_never_settled_holds_its_slot_to_its_latest_end(ledger):
    who = consenting(ledger, "ann")
    take(ledger, a_claim(live_plan(ledger, "a"), who))
    later = NOW + WEEK + MINUTE - timedelta(seconds=1)
    wake(ledger, now=later, max_idle_days=35)
    assert reason(take(ledger, a_claim(live_plan(ledger, "b"), who), later)) == "capped"


def test_a_send_is_made_once_for_its_occasion_whatever_the_plan_says(ledger):
    who = consenting(ledger, "ann")
    plan = live_plan(ledger)
    push(ledger, a_claim(plan, who))
    assert reason(take(ledger, a_claim(plan, who, coupon="c1", cost=1))) == "already_settled"


def test_giving_back_returns_slot_coupon_and_money_once(ledger):
    who = consenting(ledger, "ann")
    plan = live_plan(ledger)
    answer = take(ledger, a_claim(plan, who))
    assert set(used(ledger).values()) == {1, 50}
    assert give_back(ledger, [answer]) == [answer.send_id]
    assert give_back(ledger, [answer]) == []
    assert set(used(ledger).values()) == {0}
    again = take(ledger, a_claim(plan, who))
    assert isinstance(again, Claimed)
    assert again.attempt == answer.attempt + 1


def test_a_send_that_was_taken_over_is_not_given_back(ledger):
    who = consenting(ledger, "ann")
    plan = live_plan(ledger)
    answer = take(ledger, a_claim(plan, who))
    later = NOW + timedelta(hours=1)
    taken = reclaim(ledger, a_claim(plan, who), now=later, until=later + MINUTE)
    assert isinstance(taken, Claimed)
    assert give_back(ledger, [answer]) == []
    assert give_back(ledger, [taken]) == []


@pytest.mark.parametrize("end", ["accepted", "unknown", "back"])
def test_a_sender_that_wakes_after_the_next_push_ends_its_call_and_moves_nothing(ledger, end):
    who = consenting(ledger, "ann")
    first, second = live_plan(ledger, "a"), live_plan(ledger, "b")
    asleep = take(ledger, a_claim(first, who))
    later = NOW + WEEK + MINUTE
    wake(ledger, now=later, max_idle_days=35)
    push(ledger, a_claim(second, who), later)
    if end == "back":
        assert give_back(ledger, [asleep]) == []
        end = "unknown"
    settle(ledger, [Ends([asleep], end, later + MINUTE)])
    assert outcomes(ledger, first.plan_id) == {asleep.send_id: (end, end)}
    assert verify(ledger).breaches == ()


def test_taking_over_holds_the_slot_to_the_new_calls_end(ledger):
    who = consenting(ledger, "ann")
    plan = live_plan(ledger, "a")
    take(ledger, a_claim(plan, who))
    later = NOW + timedelta(hours=10)
    taken = reclaim(ledger, a_claim(plan, who), now=later, until=later + MINUTE)
    settle(ledger, [Ends([taken], "accepted", later)])
    wake(ledger, now=NOW + WEEK + MINUTE, max_idle_days=35)
    other = take(ledger, a_claim(live_plan(ledger, "b"), who), NOW + WEEK + MINUTE)
    assert reason(other) == "capped"
    assert other.free_at == later + MINUTE + WEEK


def test_an_unknown_send_may_turn_out_accepted_and_never_back(ledger):
    who = consenting(ledger, "ann")
    plan = live_plan(ledger)
    answer = take(ledger, a_claim(plan, who))
    settle(ledger, [Ends([answer], "unknown", NOW)])
    assert outcomes(ledger, plan.plan_id) == {answer.send_id: ("unknown", "unknown")}
    settle(ledger, [Ends([answer], "accepted", NOW)])
    assert settle(ledger, [Ends([answer], "unknown", NOW)]) == []
    assert outcomes(ledger, plan.plan_id) == {answer.send_id: ("accepted", "accepted")}


@pytest.mark.parametrize("limit", ["budget:24", "campaign:24", "coupon:c1", "share:'24'/'c1'"])
def test_no_purse_is_ever_overdrawn_and_a_refused_claim_takes_nothing(ledger, limit):
    cap = 120 if limit.startswith("budget") else 2
    plan = live_plan(ledger, limits={limit: cap})
    people = [consenting(ledger, f"m{number}") for number in range(4)]
    answers = claim(ledger, [a_claim(plan, who) for who in people], now=NOW, until=NOW + MINUTE)
    assert [type(answer) for answer in answers] == [Claimed, Claimed, Declined, Declined]
    wanted = {"budget": "budget", "campaign": "campaign_limit"}
    assert reason(answers[3]) == wanted.get(limit.partition(":")[0], "coupon_limit")
    assert sorted(set(used(ledger).values())) == [2, 100]


def test_consent_withdrawn_after_planning_stops_the_claim(ledger):
    who = consenting(ledger, "ann")
    plan = live_plan(ledger)
    no = Statement("ann", "email", "ann@example.invalid", False, NOW, "page")
    record(ledger, [no], now=NOW)
    assert reason(take(ledger, a_claim(plan, who))) == "no_consent"


@pytest.mark.parametrize("key", [0, 1], ids=["person", "contact"])
def test_a_suppression_stops_the_claim_and_no_import_reopens_it(ledger, key):
    who = consenting(ledger, "ann")
    plan = live_plan(ledger)
    suppress(ledger, [who[key]], reason="unsubscribed", now=NOW)
    yes = Statement("ann", "email", "ann@example.invalid", True, NOW, "import")
    record(ledger, [yes], now=NOW)
    assert reason(take(ledger, a_claim(plan, who))) == "suppressed"


def test_a_message_rendered_for_an_old_address_is_not_sent(ledger):
    who = consenting(ledger, "ann")
    plan = live_plan(ledger)
    moved = Statement("ann", "email", "new@example.invalid", True, NOW, "page")
    record(ledger, [moved], now=NOW)
    assert reason(take(ledger, a_claim(plan, who))) == "contact_changed"


def test_the_held_out_are_not_sent_to_but_lose_their_slot_for_nothing(ledger):
    who = consenting(ledger, "ann")
    plan, other = live_plan(ledger, "a"), live_plan(ledger, "b")
    assert assign_arms(ledger, "a", share=0.999999, people=[who], now=NOW) == [True]
    assert reason(take(ledger, a_claim(plan, who))) == "held_out"
    assert isinstance(take(ledger, a_claim(plan, who, ghost=True)), Claimed)
    assert set(used(ledger).values()) == {0}
    assert reason(take(ledger, a_claim(other, who))) == "capped"
    assert verify(ledger).breaches == ()


def test_who_shares_an_address_with_the_held_out_is_not_sent_to(ledger):
    ann = consenting(ledger, "ann", "home@example.invalid")
    bob = consenting(ledger, "bob", "home@example.invalid")
    plan = live_plan(ledger)
    assign_arms(ledger, "24", share=0.999999, people=[ann], now=NOW)
    assert reason(take(ledger, a_claim(plan, bob))) == "held_out"


def test_an_arm_stays_through_a_change_of_address_until_the_share_changes(ledger):
    people = [consenting(ledger, f"m{number}") for number in range(60)]
    arms = assign_arms(ledger, "24", share=0.5, people=people, now=NOW)
    assert 0 < sum(arms) < 60
    moved = [(person, f"new-{contact}") for person, contact in people]
    assert assign_arms(ledger, "24", share=0.5, people=moved, now=NOW) == arms
    assert assign_arms(ledger, "24", share=0.4, people=people, now=NOW) != arms


def test_a_call_that_could_reach_into_quiet_hours_takes_nothing_and_is_told_when_they_end(ledger):
    plan = live_plan(ledger)
    evening = NOW + timedelta(hours=12)  # 21:00
    tick = timedelta(microseconds=1)
    who = consenting(ledger, "ann")
    last = take(ledger, a_claim(plan, who), evening - MINUTE)
    assert isinstance(last, Claimed)
    assert last.until == evening
    late = take(ledger, a_claim(plan, consenting(ledger, "bob")), evening - MINUTE + tick)
    assert (reason(late), late.free_at) == ("quiet_hours", NOW + timedelta(days=1))
    assert used(ledger)["campaign:24"] == 1
    morning = NOW + timedelta(days=1)
    wake(ledger, now=morning - tick, max_idle_days=35)
    early = take(ledger, a_claim(plan, consenting(ledger, "bob")), morning - tick)
    assert (reason(early), early.free_at) == ("quiet_hours", morning)
    assert isinstance(take(ledger, a_claim(plan, consenting(ledger, "bob")), morning), Claimed)


def test_quiet_hours_hold_for_who_is_held_out_and_for_a_call_that_is_taken_over(ledger):
    who, other = consenting(ledger, "ann"), consenting(ledger, "bob")
    plan = live_plan(ledger)
    assert isinstance(take(ledger, a_claim(plan, who)), Claimed)
    night = NOW + timedelta(hours=13)
    again = reclaim(ledger, a_claim(plan, who), now=night, until=night + MINUTE)
    assert reason(again) == "quiet_hours"
    assign_arms(ledger, "24", share=0.999, people=[other], now=NOW)
    ghost = a_claim(plan, other, ghost=True)
    assert reason(take(ledger, ghost, night)) == "quiet_hours"
    awake = reclaim(ledger, a_claim(plan, who), now=night, until=night + MINUTE, quiet=ANY_TIME)
    assert isinstance(awake, Claimed)


def test_the_zone_is_the_one_that_the_ledger_knows_last(ledger):
    who = consenting(ledger, "ann")
    plan = live_plan(ledger)
    moves = (("America/New_York", False), (None, False), ("Asia/Tokyo", True))
    for step, (zone, awake) in enumerate(moves):
        at = NOW - timedelta(hours=9 - step)
        moved = Statement("ann", "email", "ann@example.invalid", True, at, "page", zone)
        record(ledger, [moved], now=at)
        assert isinstance(take(ledger, a_claim(plan, who)), Claimed) == awake


def test_a_row_that_was_closed_is_not_claimed(ledger):
    who = consenting(ledger, "ann")
    plan = live_plan(ledger)
    first = take(ledger, a_claim(plan, who))
    give_back(ledger, [first])
    close_rows(ledger, plan.plan_id, [first.send_id], outcome="expired", reason="late", now=NOW)
    assert reason(take(ledger, a_claim(plan, who))) == "already_settled"


def test_a_stopped_campaign_claims_nothing(ledger):
    who = consenting(ledger, "ann")
    plan = live_plan(ledger)
    with ledger.writing() as connection:
        connection.execute(text("UPDATE purse SET live = 0 WHERE purse = 'campaign:24'"))
    assert reason(take(ledger, a_claim(plan, who))) == "campaign_stopped"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("UPDATE gate SET epoch = 'other'", "new epoch"),
        ("UPDATE gate SET closed_until = hi + 3600000000", "closed for sending"),
        ("UPDATE gate SET hi = hi + 3600000000", "went back"),
        ("UPDATE gate SET hi = hi - 90000000000", "leapt"),
    ],
)
def test_a_shut_gate_refuses_the_whole_batch_and_says_why(ledger, change, says):
    who = consenting(ledger, "ann")
    plan = live_plan(ledger)
    with ledger.writing() as connection:
        connection.execute(text(change))
    with pytest.raises(LedgerError, match=says):
        take(ledger, a_claim(plan, who))
    assert set(used(ledger).values()) == {0}


class Model:
    """The cap in plain Python: the ends of every slot of a person and of a contact point."""

    def __init__(self) -> None:
        self.ends: dict[str, list] = {}

    def free(self, who, now) -> bool:
        return all(now - end >= WEEK for key in who for end in self.ends.get(key, []))

    def take(self, who, end) -> None:
        for key in who:
            self.ends.setdefault(key, []).append(end)


@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    steps=st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(0, 2),
            st.integers(0, 100),
            st.sampled_from(["accepted", "unknown", "refused", "crash"]),
        ),
        max_size=25,
    )
)
def test_any_order_of_claims_and_ends_keeps_the_cap_of_a_plain_model(tmp_path_factory, steps):
    from tests.campaigns.kit import open_test_ledger

    folder = tmp_path_factory.mktemp("model")
    with open_test_ledger(f"sqlite:///{folder}/ledger.db", folder) as ledger:
        model, now = Model(), NOW
        for number, (person, address, hours, end) in enumerate(steps):
            now += timedelta(hours=hours)
            who = consenting(ledger, f"p{person}", f"a{(person + address) % 3}@example.invalid")
            # Later statements with one instant: the last one recorded is the address.
            plan = live_plan(ledger, f"c{number}", now=now)
            wake(ledger, now=now, max_idle_days=35)
            free = model.free(who, now)
            answer = take(ledger, a_claim(plan, who), now, quiet=ANY_TIME)
            if isinstance(answer, Declined) and answer.reason == "contact_changed":
                continue
            assert isinstance(answer, Claimed) == free
            if not free:
                continue
            if end == "refused":
                give_back(ledger, [answer])
            elif end == "crash":
                model.take(who, now + MINUTE)
            else:
                settle(ledger, [Ends([answer], end, now)])
                model.take(who, now if end == "accepted" else now + MINUTE)
        assert verify(ledger).breaches == ()


def test_instants_survive_the_way_into_the_ledger_and_back():
    odd = NOW + timedelta(microseconds=123_457)
    assert from_micros(to_micros(odd)) == odd
