"""Forgeries are written straight into the rows; constraints that would refuse them are absent."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from campaigns.instants import DAY, SECOND, to_micros
from campaigns.ledger.assigning import assign_arms
from campaigns.ledger.consent import Statement, record, suppress
from campaigns.run import plan_campaign, send_plan
from campaigns.verify import verify
from tests.campaigns.kit import NOW, Clock, composition, definition

AT = to_micros(NOW)
CLOCKS = 2 * SECOND  # by which two machines may differ: which was first cannot be told


@pytest.fixture
def sent(tmp_path):
    """A ledger with seven honest pushes, a minute old."""
    clock = Clock(NOW)
    shop = composition(tmp_path, clock)
    send_plan(shop, plan_campaign(shop, definition())[0].plan_id)
    with shop.open_ledger() as ledger:
        yield ledger


def forge(ledger, statement):
    with ledger.writing() as connection:
        connection.execute(text("PRAGMA defer_foreign_keys = ON"))
        connection.execute(text("PRAGMA ignore_check_constraints = ON"))
        connection.execute(text(statement))
        connection.execute(text("PRAGMA ignore_check_constraints = OFF"))


def rules(ledger):
    return {breach.rule for breach in verify(ledger).breaches}


def test_an_honest_ledger_has_no_breach(sent):
    report = verify(sent)
    assert (report.pushes, report.people, report.contacts, report.plans) == (7, 7, 7, 1)
    assert report.breaches == ()


@pytest.mark.parametrize(
    ("statement", "rule"),
    [
        ("UPDATE purse SET used = used + 1 WHERE purse = 'coupon:c1'", "money"),
        ("UPDATE purse SET cap = 1 WHERE purse = 'campaign:24'", "money"),
        ("DELETE FROM purse WHERE purse = 'budget:24'", "money"),
        ("UPDATE send SET cost = cost + 1 WHERE try = 1", "money"),
        ("DELETE FROM consent", "consent"),
        ("UPDATE consent SET granted = 0", "consent"),
        ("DELETE FROM outcome WHERE outcome = 'accepted'", "outcomes"),
        ("UPDATE outcome SET outcome = 'accepted'", "outcomes"),
        ("UPDATE plan SET planned_rows = 9", "outcomes"),
    ],
)
def test_a_forged_row_is_found(sent, statement, rule):
    forge(sent, statement)
    assert rule in rules(sent)


@pytest.mark.parametrize("unit", ["person", "contact"])
def test_two_pushes_within_a_week_are_found_by_person_and_by_contact(sent, unit):
    letter = unit[0]
    other = {"person": ("contact", "c"), "contact": ("person", "p")}[unit]
    at = AT + 6 * DAY
    columns = (
        "send_id, try, plan_id, occasion, campaign, coupon, channel, ghost, cost, state, at,"
        f" until, {unit}, {letter}seq, {letter}prev_until, {other[0]}, {other[1]}seq"
    )
    forge(
        sent,
        f"INSERT INTO send ({columns}) SELECT 'forged', 1, plan_id, 'x', campaign, coupon,"
        f" channel, 0, 0, 'accepted', {at}, {at}, {unit}, 2, until, 'nobody', 1 FROM send LIMIT 1",
    )
    assert f"one push a week for each {unit}" in rules(sent)


def test_a_push_to_somebody_suppressed_before_is_found(sent):
    with sent.reading() as connection:
        row = connection.execute(text("SELECT person, contact FROM send LIMIT 1")).one()
    for key in row:
        suppress(sent, [key], reason="complaint", now=NOW + timedelta(seconds=1))
    assert rules(sent) == set()
    for early, found in ((CLOCKS, set()), (CLOCKS + 1, {"suppression"})):
        at = AT - early
        forge(sent, f"UPDATE suppression SET recorded_at = {at} WHERE key = '{row.contact}'")
        assert rules(sent) == found


def test_a_push_to_the_held_out_is_found(sent):
    with sent.reading() as connection:
        row = connection.execute(text("SELECT person, contact FROM send LIMIT 1")).one()
    assign_arms(sent, "24", share=0.9999999, people=[tuple(row)], now=NOW - timedelta(days=1))
    assert rules(sent) == {"holdout"}


def test_a_withdrawal_recorded_after_the_send_is_no_breach(sent):
    no = Statement("m0", "email", "m0@example.invalid", False, NOW - timedelta(days=1), "post")
    record(sent, [no], now=NOW + timedelta(days=1))
    assert rules(sent) == set()
    for early, found in ((CLOCKS, set()), (CLOCKS + 1, {"consent"})):
        forge(sent, f"UPDATE consent SET recorded_at = {AT - early} WHERE granted = 0")
        assert rules(sent) == found
