"""Other senders under the common cap, on both databases."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from campaigns.app import routes
from campaigns.consent import import_consent
from campaigns.ledger.consent import Statement, record, suppress
from campaigns.ledger.ledger import wake
from campaigns.ledger.pushes import Barred, Push, Slot, drop_slot, take_slot
from campaigns.ledger.restoring import reopen
from campaigns.policy.cap import ROLLING, Cap, ChannelCap
from campaigns.run import plan_campaign, send_plan
from campaigns.settings import CampaignSettings
from campaigns.verify import verify
from tests.campaigns.kit import (
    MEMBERS,
    NOW,
    WEEK,
    Clock,
    composition,
    consenting,
    definition,
    open_test_ledger,
    write_consent,
)
from tests.campaigns.ways_in.asked import Asked

MINUTE = timedelta(minutes=1)
ANN, BOB, STRANGER = MEMBERS[0], MEMBERS[1], MEMBERS[-1]


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def shop(tmp_path, clock, ledger_url):
    made = replace(composition(tmp_path, clock), settings=CampaignSettings(ledger_url=ledger_url))
    with made.open_ledger() as ledger:
        import_consent(write_consent(tmp_path / "agreed.csv", MEMBERS[:-1]), ledger, now=clock())
        import_consent(write_consent(tmp_path / "no.csv", [STRANGER], "no"), ledger, now=clock())
    return made


@pytest.fixture
def client(shop):
    return Asked(routes(shop))


def push(client, push_id="p-1", member=ANN, **facts):
    body = {"push_id": push_id, "member_id": member, "channel": "email", "source": "crm"} | facts
    return client("POST", "/v1/pushes", json=body)


def breaches(shop):
    with shop.open_ledger() as ledger:
        return verify(ledger).breaches


def test_the_slot_is_taken_until_the_call_has_to_have_ended(client, shop, clock):
    answer = push(client)
    until = clock() + timedelta(seconds=shop.settings.call_seconds)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "push_id": "p-1", "until": until.isoformat().replace("+00:00", "Z"), "new": True,
    }  # fmt: skip
    assert push(client).json() == answer.json() | {"new": False}
    other = push(client, "p-2")
    assert (other.status_code, other.json()["reason"]) == (409, "capped")
    assert other.json()["free_at"].startswith("2017-12-08T09:01:00")
    assert push(client, "p-3", BOB).status_code == 200
    assert breaches(shop) == ()


def test_our_own_pushes_and_those_of_others_count_together(client, shop, clock):
    push(client)
    plan, _ = plan_campaign(shop, definition(starts_at=NOW, ends_at=NOW + 3 * WEEK))
    assert plan.rows.filter(member_id=ANN)["decision"].to_list() == ["push"]  # once it is free
    assert send_plan(shop, plan.plan_id).made["accepted"] == len(MEMBERS) - 2
    assert push(client, "p-2", BOB).json()["reason"] == "capped"
    clock.turn(days=7, minutes=1)
    assert send_plan(shop, plan.plan_id).made["accepted"] == 1
    assert push(client, "p-3", ANN).json()["reason"] == "capped"
    assert breaches(shop) == ()


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"member": STRANGER}, "no_consent"),
        ({"channel": "sms"}, "no_contact"),
        ({"member": "nobody"}, "no_contact"),
    ],
)
def test_who_may_not_be_reached_is_not(client, shop, facts, reason):
    answer = push(client, **facts)
    assert (answer.status_code, answer.json()["reason"]) == (409, reason)
    assert answer.json()["free_at"] is None


def test_a_message_that_needs_no_consent_takes_the_slot_but_reaches_nobody_suppressed(client, shop):
    assert push(client, "p-1", STRANGER, consent=False).status_code == 200
    with shop.open_ledger() as ledger:
        suppress(ledger, [ledger.identity.person(BOB)], reason="left", now=shop.now())
    assert push(client, "p-2", BOB, consent=False).json()["reason"] == "suppressed"
    assert breaches(shop) == ()


def test_a_slot_that_was_not_used_is_given_back_once(client, shop):
    assert client("DELETE", "/v1/pushes/p-1").status_code == 404
    push(client)
    assert [client("DELETE", "/v1/pushes/p-1").status_code for _ in range(2)] == [200, 200]
    assert push(client, "p-2").status_code == 200
    assert push(client, "p-1").json()["reason"] == "capped"
    assert breaches(shop) == ()


def test_a_slot_that_a_later_push_counts_from_stays(client, shop, clock):
    push(client)
    clock.turn(days=8)
    assert push(client, "p-2").status_code == 200
    answer = client("DELETE", "/v1/pushes/p-1")
    assert (answer.status_code, answer.json()["reason"]) == (409, "followed")
    assert client("DELETE", "/v1/pushes/p-2").status_code == 200


def test_one_push_id_is_one_push(client, clock):
    push(client)
    assert push(client, member=BOB).json()["reason"] == "push_differs"
    clock.turn(minutes=2)
    assert push(client).json()["reason"] == "over"


def test_a_send_of_ours_is_not_given_back_by_its_id(client, shop):
    send_plan(shop, plan_campaign(shop, definition())[0].plan_id)
    for file in (shop.folder / "outbox").glob("*.eml"):
        assert client("DELETE", f"/v1/pushes/{file.stem}").status_code == 404


def test_while_sending_is_closed_no_slot_is_taken(client, shop, clock):
    with shop.open_ledger() as ledger:
        reopen(ledger, now=clock(), closed=WEEK)
    assert push(client).status_code == 503
    clock.turn(days=7)
    assert push(client).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    [{"push_id": ""}, {"channel": "pigeon"}, {"source": "\n"}, {"member_id": "a\x00"}, {"more": 1}],
)
def test_what_is_malformed_is_refused(client, wrong):
    assert push(client, **{"push_id": "p"} | wrong).status_code == 422


def test_of_many_at_once_one_gets_the_slot(client, shop):
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda n: push(client, f"p-{n}").status_code, range(8)))
    assert sorted(answers) == [200] + [409] * 7
    assert breaches(shop) == ()


def test_a_channels_own_cap_counts_them_too(ledger):
    consenting(ledger, "ann")
    cap = Cap(channels={"email": ChannelCap(most=1, days=30)})
    assert isinstance(slot(ledger, "p-1", "ann", NOW, cap), Slot)
    wake(ledger, now=NOW + WEEK, max_idle_days=35)
    later = slot(ledger, "p-2", "ann", NOW + WEEK + MINUTE, cap)
    assert later == Barred("capped", NOW + MINUTE + timedelta(days=30))
    drop_slot(ledger, "p-1")
    assert isinstance(slot(ledger, "p-2", "ann", NOW + WEEK + MINUTE, cap), Slot)


def test_by_calendar_weeks_two_days_can_be_enough(ledger):
    said = Statement("ann", "email", "a@example.invalid", True, NOW, "test", "Europe/Berlin")
    record(ledger, [said], now=NOW)
    cap = Cap(weeks=True)
    sunday = NOW + timedelta(days=2)
    wake(ledger, now=sunday, max_idle_days=35)
    assert isinstance(slot(ledger, "p-1", "ann", sunday, cap), Slot)
    tuesday = sunday + timedelta(days=2)
    wake(ledger, now=tuesday, max_idle_days=35)
    assert isinstance(slot(ledger, "p-2", "ann", tuesday, cap), Slot)


def slot(ledger, push_id, member, now, cap=ROLLING):
    one = Push(push_id, member, "email", "crm")
    return take_slot(ledger, one, cap=cap, now=now, until=now + MINUTE)


@pytest.mark.slow
@given(
    steps=st.lists(
        st.tuples(st.sampled_from(["take", "drop"]), st.integers(0, 3), st.sampled_from("ab"),
                  st.integers(0, 80)),
        max_size=14,
    )
)  # fmt: skip
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_the_week_holds_whatever_is_taken_and_given_back(tmp_path_factory, steps):
    folder = tmp_path_factory.mktemp("pushes")
    with open_test_ledger(f"sqlite:///{folder / 'ledger.db'}", folder) as ledger:
        for member in "ab":
            consenting(ledger, member)
        now, held = NOW, {}
        for what, number, member, hours in steps:
            now += timedelta(hours=hours)
            wake(ledger, now=now, max_idle_days=35)
            if what == "drop":
                if drop_slot(ledger, f"p-{number}") == "dropped":
                    held.pop(number, None)
                continue
            found = slot(ledger, f"p-{number}", member, now)
            if number in held:
                continue
            last = max((at for who, at in held.values() if who == member), default=None)
            free = last is None or now - last >= WEEK + MINUTE
            assert isinstance(found, Slot) == free
            if free:
                held[number] = (member, now)
        assert verify(ledger).breaches == ()
